import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../usage-error.ts'
import { parsePortPair } from './forward-ports.ts'

test('pairs of ports', () => {
  assert.deepEqual(parsePortPair('80'), { local: 80, remote: 80 })
  assert.deepEqual(parsePortPair('8080:80'), { local: 8080, remote: 80 })
  assert.deepEqual(parsePortPair(':80'), { local: 0, remote: 80 })
  assert.deepEqual(parsePortPair('0:80'), { local: 0, remote: 80 })
  for (const text of ['', '0', '80:0', ':', '80:', '65536', '1:2:3', 'http', '-1', '70000:1'])
    assert.throws(() => parsePortPair(text), UsageError, text)
})
