import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { writeFileAtomic } from './atomic-file.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'coracle-atomic-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

test('replaces the content, keeps it private, leaves no temporary file', () => {
  const path = join(directory, 'f')
  writeFileAtomic(path, 'old')
  writeFileAtomic(path, Buffer.from('new'), { durable: true })
  assert.equal(readFileSync(path, 'utf8'), 'new')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  writeFileAtomic(path, '', { mode: 0o640 })
  assert.equal(statSync(path).mode & 0o777, 0o640)
  assert.deepEqual(readdirSync(directory), ['f'])
})

test('a failure leaves the old state', () => {
  mkdirSync(join(directory, 'd'))
  assert.throws(() => writeFileAtomic(join(directory, 'd'), 'x'), { code: 'EISDIR' })
  assert.throws(() => writeFileAtomic(join(directory, 'absent', 'f'), 'x'), { code: 'ENOENT' })
  assert.deepEqual(readdirSync(directory), ['d'])
})
