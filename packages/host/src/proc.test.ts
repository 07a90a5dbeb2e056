import assert from 'node:assert/strict'
import { test } from 'node:test'
import { descendantsAmong, identify, isAlive, parseStat } from './proc.ts'

const stat = (pid: number, parent: number, session: number, state = 'S') =>
  parseStat(`${pid} (a) b (c) ${state} ${parent} 1 ${session}${' 0'.repeat(15)} 777 0 0\n`)

test('parseStat() is not led astray by the name of the command', () => {
  assert.deepEqual(stat(42, 7, 9), { pid: 42, state: 'S', parent: 7, session: 9, startTime: 777n })
})

test('descendantsAmong() follows parents and sessions, in any order', () => {
  const all = [stat(5, 4, 2), stat(4, 3, 2), stat(3, 2, 2), stat(2, 1, 2), stat(8, 1, 4), stat(9, 1, 1), stat(1, 0, 1)]
  // 8 was adopted by pid 1, but belongs to the session that 4 leads.
  assert.deepEqual(
    descendantsAmong(3, all).map(({ pid }) => pid),
    [5, 4, 8],
  )
})

test('identify() names this process, and a later one with its pid is another', () => {
  const me = identify(process.pid)
  assert.ok(me)
  assert.equal(isAlive(me), true)
  assert.equal(isAlive({ ...me, startTime: me.startTime + 1n }), false)
  for (const pid of [0, -1, 1.5, 2 ** 22 + 1]) assert.equal(identify(pid), undefined)
})
