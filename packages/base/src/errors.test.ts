import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isErrno, unlessErrno } from './errno.ts'
import { CodedError, codeOf, doing, explain, failed } from './errors.ts'
import { parseComponent, quote } from './ids.ts'

test('the code is that of the nearest cause that has one', () => {
  const inner = new CodedError('unavailable', 'plugin hangs')
  assert.equal(codeOf(failed('add network', failed('run pod', inner))), 'unavailable')
  assert.equal(codeOf(new Error('x', { cause: inner })), 'unavailable')
  assert.equal(codeOf(new SuppressedError(new CodedError('internal', 'cleanup'), inner)), 'unavailable')
  assert.equal(codeOf(AbortSignal.timeout(0).reason ?? new DOMException('late', 'TimeoutError')), 'deadline_exceeded')
  assert.equal(codeOf(new DOMException('left', 'AbortError')), 'canceled')
  assert.equal(codeOf('thrown text'), 'internal')
  const full = Object.assign(new Error('write'), { code: 'ENOSPC' })
  assert.equal(codeOf(failed('write record', full)), 'resource_exhausted')
})

test('the message is the whole chain', async () => {
  const inner = new CodedError('unavailable', 'plugin hangs')
  assert.equal(explain(failed('run pod', inner)), 'run pod: plugin hangs')
  assert.equal(explain(new SuppressedError(new Error('umount'), inner)), 'plugin hangs (and cleanup failed: umount)')
  assert.equal(explain(new AggregateError([inner, new Error('b')], 'both')), 'both: plugin hangs; b')
  await assert.rejects(
    doing('read file', () => Promise.reject(inner)),
    { code: 'unavailable', message: 'read file' },
  )
})

test('errno codes are expected by name', () => {
  const err = Object.assign(new Error('x'), { code: 'ENOENT' })
  const throwing = () => {
    throw err
  }
  assert.equal(isErrno(err, 'EPERM', 'ENOENT'), true)
  assert.equal(isErrno('ENOENT', 'ENOENT'), false)
  assert.equal(unlessErrno(['ENOENT'], throwing, 7), 7)
  assert.throws(() => unlessErrno(['EPERM'], throwing, 7), { code: 'ENOENT' })
})

test('what becomes a path is one component', () => {
  for (const bad of ['', '.', '..', 'a/b', '/a', 'a\0', 'x'.repeat(256)])
    assert.throws(() => parseComponent('metadata.name', bad), { code: 'invalid_argument', message: /metadata\.name/ })
  assert.equal(parseComponent('f', 'a..b'), 'a..b')
  assert.equal(quote(`a\n${'x'.repeat(200)}`).length, 128 + 4)
})
