import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { digestOf } from './digest.ts'
import { digestedName, formatReference, nameOf, parseReference, taggedName, withPlainHost } from './reference.ts'

const digest = digestOf('x')
const hex = digest.slice(7)

describe('references', () => {
  const good: readonly (readonly [string, string])[] = [
    ['busybox', 'docker.io/library/busybox:latest'],
    ['a/b', 'docker.io/a/b:latest'],
    ['host/x', 'docker.io/host/x:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/busybox:1', 'docker.io/library/busybox:1'],
    ['localhost/x', 'localhost/x:latest'],
    ['HOST/x', 'HOST/x:latest'],
    ['quay.io/a/b/c:v1.2_x-y', 'quay.io/a/b/c:v1.2_x-y'],
    ['127.0.0.1:5000/bench/large:1', '127.0.0.1:5000/bench/large:1'],
    [`host:5000/x:tag@${digest}`, `host:5000/x:tag@${digest}`],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`],
    ['[::1]:5000/x', '[::1]:5000/x:latest'],
    ['[2001:db8::1]/x:1', '[2001:db8::1]/x:1'],
    ['a__b/c-----d', 'docker.io/a__b/c-----d:latest'],
    [`x:${'t'.repeat(128)}`, `docker.io/library/x:${'t'.repeat(128)}`],
    [`r.io/${'n'.repeat(255)}`, `r.io/${'n'.repeat(255)}:latest`],
  ]
  for (const [text, full] of good) {
    test(`F-01 ${text.slice(0, 60)}`, () => {
      const reference = parseReference(text)
      assert.equal(formatReference(reference), full)
      assert.deepEqual(parseReference(formatReference(reference)), reference)
    })
  }

  test('names for CRI', () => {
    const reference = parseReference('busybox:1')
    assert.equal(nameOf(reference), 'docker.io/library/busybox')
    assert.equal(taggedName(reference), 'docker.io/library/busybox:1')
    assert.equal(digestedName(reference, digest), `docker.io/library/busybox@${digest}`)
    assert.equal(taggedName(parseReference(`busybox@${digest}`)), undefined)
  })

  test('one spelling of a host', () => {
    assert.equal(withPlainHost('R.io:443/a/b:Tag'), 'r.io/a/b:Tag')
    assert.equal(withPlainHost('R.io:4430/a:443'), 'r.io:4430/a:443')
    assert.equal(withPlainHost('*.R.io'), '*.r.io')
    assert.equal(withPlainHost(''), '')
  })

  const bad: readonly string[] = [
    '',
    ' ',
    'UPPER',
    'docker.io/Upper',
    `r.io/${'n'.repeat(256)}`,
    '..',
    'a/../b',
    'a//b',
    '/a',
    'a/',
    '-dash',
    '--option',
    'r.io/-x',
    'a..b.io/x',
    '-r.io/x',
    'r-.io/x',
    'r.io:0/x',
    'r.io:65536/x',
    'r.io:port/x',
    '[::zz]/x',
    'http://r.io/x',
    `x:${'t'.repeat(129)}`,
    'x:',
    'x:.t',
    'x:-t',
    'x@sha256:short',
    `x@${digest.toUpperCase()}`,
    `x@md5:${'0'.repeat(32)}`,
    `x@${digest}@${digest}`,
    'a\nb',
    'a\0b',
    'a\x1b[31m',
    'a b',
    'é',
    'x'.repeat(1024 * 1024),
    `${'a_'.repeat(500)}!`,
    `${'a.'.repeat(500)}/x`,
    `${'a-'.repeat(400)}!/x`,
  ]
  for (const text of bad) {
    test(`F-02 refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      const startedAt = performance.now()
      assert.throws(
        () => parseReference(text),
        (err) => codeOf(err) === 'invalid_argument',
      )
      assert.ok(performance.now() - startedAt < 10)
    })
  }

  test('F-03 refuses what looks like an image id', () => {
    for (const text of [hex, digest]) assert.throws(() => parseReference(text), /image id/)
  })
})
