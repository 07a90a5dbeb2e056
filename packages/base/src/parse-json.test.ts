import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isObject, parseJson } from './parse-json.ts'

const parse = (text: string | Uint8Array, maxBytes = 1000) => parseJson('config', text, { maxBytes, maxDepth: 3 })

test('parses within limits and names what is wrong', () => {
  assert.deepEqual(parse('{"a":[1]}'), { a: [1] })
  assert.deepEqual(parse(Buffer.from('xx[1]').subarray(2)), [1])
  const refused = (text: string, words: RegExp) => assert.throws(() => parse(text), { code: 'invalid_argument', message: words })
  refused('{', /config is not valid JSON/)
  refused('', /not valid JSON/)
  refused(`"${'x'.repeat(1000)}"`, /config is 1002 bytes, more than the limit of 1000/)
  refused('[[[[1]]]]', /nested deeper than 3 levels/)
})

test('brackets in strings are no depth, and a very deep document is no stack overflow', () => {
  assert.deepEqual(parse('["[[[[\\"[[["]'), ['[[[["[[['])
  assert.throws(() => parseJson('x', '['.repeat(1_000_000), { maxBytes: 1 << 21 }), { code: 'invalid_argument' })
})

test('a key named __proto__ is only a key', () => {
  const value = parse('{"__proto__":{"polluted":1}}')
  assert.ok(isObject(value) && Object.hasOwn(value, '__proto__'))
  assert.equal(({} as { polluted?: number }).polluted, undefined)
  assert.equal(isObject([]), false)
})
