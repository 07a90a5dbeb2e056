import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { clearReopenFile, identifyFile, prepareLog, sameFile } from './log-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'coracle-log-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const at = (name: string) => join(directory, name)
const refused = (path: string, code: string) =>
  assert.throws(
    () => prepareLog(path),
    (err) => codeOf(err) === code,
  )

test('where no directory can be made: the reason, at once', () => {
  assert.throws(() => prepareLog('/proc/coracle/0.log'), { code: 'ENOENT' })
})

test('a log is made with its directories, mode 0640', () => {
  const path = at('a/b/0.log')
  const made = prepareLog(path)
  assert.equal(statSync(path).mode & 0o777, 0o640)
  assert.ok(sameFile(identifyFile(path), made))
})

test('an existing one is kept', () => {
  writeFileSync(at('old.log'), 'text')
  prepareLog(at('old.log'))
  assert.equal(readFileSync(at('old.log'), 'utf8'), 'text')
})

test('links, directories and odd paths are refused', () => {
  writeFileSync(at('victim'), '')
  symlinkSync(at('victim'), at('link.log'))
  symlinkSync(at('nowhere'), at('dangling.log'))
  mkdirSync(at('dir.log'))
  for (const name of ['link.log', 'dangling.log', 'dir.log']) refused(at(name), 'failed_precondition')
  for (const path of ['relative.log', at('a:b.log')]) refused(path, 'invalid_argument')
  assert.equal(identifyFile(at('nowhere')), undefined)
  assert.equal(identifyFile(at('link.log')), undefined)
})

test('what would be followed at a reopening is removed', () => {
  symlinkSync(at('victim'), at('x.log.tmp'))
  clearReopenFile(at('x.log'))
  assert.equal(identifyFile(at('x.log.tmp')), undefined)
  assert.notEqual(identifyFile(at('victim')), undefined)
})
