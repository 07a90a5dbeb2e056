import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeDirectories } from './make-directories.ts'

let directory: string
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'coracle-make-'))
})
after(() => rmSync(directory, { recursive: true }))

test('makeDirectories() makes what is missing, with its mode, and takes what is there', () => {
  const path = join(directory, 'a/b/c')
  for (let times = 0; times < 2; times++) makeDirectories(path, 0o700)
  for (const each of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(directory, each)).mode & 0o777, 0o700)
  makeDirectories('/', 0o755)
  symlinkSync(path, join(directory, 'link'))
  makeDirectories(join(directory, 'link/d'), 0o755)
  makeDirectories(`${path}/e/`, 0o755)
  assert.ok(statSync(join(path, 'd')).isDirectory() && statSync(join(path, 'e')).isDirectory())
})

test('makeDirectories() ends where nothing can be made', () => {
  for (const path of ['/proc/coracle', '/proc/coracle/a/b']) assert.throws(() => makeDirectories(path, 0o755), { code: 'ENOENT' })
  writeFileSync(join(directory, 'file'), '')
  assert.throws(() => makeDirectories(join(directory, 'file'), 0o755), { code: 'EEXIST' })
  assert.throws(() => makeDirectories(join(directory, 'file/a'), 0o755), { code: 'ENOTDIR' })
  symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling'))
  assert.throws(() => makeDirectories(join(directory, 'dangling'), 0o755), { code: 'EEXIST' })
  assert.throws(() => makeDirectories(join(directory, 'dangling/a'), 0o755))
})
