import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { lockDirectory } from './instance-lock.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'coracle-lock-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const alive = new Map([
  [process.pid, 11n],
  [4242, 22n],
])
const processes = {
  identify: (pid: number) => {
    const startTime = alive.get(pid)
    return startTime === undefined ? undefined : { pid, startTime }
  },
}
const path = () => join(directory, 'coracled.pid')

test('claimed until it is given back', () => {
  {
    using _lock = lockDirectory(directory, processes)
    assert.equal(readFileSync(path(), 'utf8'), `${process.pid} 11\n`)
    assert.equal(statSync(path()).mode & 0o777, 0o600)
    assert.throws(() => lockDirectory(directory, processes), {
      code: 'already_exists',
      message: new RegExp(`pid ${process.pid}`),
    })
    assert.deepEqual(readdirSync(directory), ['coracled.pid'])
  }
  assert.deepEqual(readdirSync(directory), [])
})

test('that of a living process is respected, also one of another program with its pid is not', () => {
  writeFileSync(path(), '4242 22\n')
  assert.throws(() => lockDirectory(directory, processes), { code: 'already_exists', message: /another coracled \(pid 4242\)/ })
  assert.equal(readFileSync(path(), 'utf8'), '4242 22\n')
  writeFileSync(path(), '4242 21\n')
  using _lock = lockDirectory(directory, processes)
})

for (const [what, content] of Object.entries({ 'a process that is gone': '4243 22\n', garbage: 'x y', nothing: '' })) {
  test(`that of ${what} is replaced`, () => {
    writeFileSync(path(), content)
    using _lock = lockDirectory(directory, processes)
    assert.deepEqual(readdirSync(directory), ['coracled.pid'])
  })
}

test('one that another claimed while ours looked at the stale one stays', () => {
  writeFileSync(path(), '4243 22\n')
  let looks = 0
  const racing = {
    identify: (pid: number) => {
      // The first look at the holder of the file: meanwhile another one replaces it.
      if (pid !== process.pid && ++looks === 1) writeFileSync(path(), '4242 22\n')
      return processes.identify(pid)
    },
  }
  assert.throws(() => lockDirectory(directory, racing), { code: 'already_exists', message: /pid 4242/ })
  assert.equal(readFileSync(path(), 'utf8'), '4242 22\n')
  assert.deepEqual(readdirSync(directory), ['coracled.pid'])
})
