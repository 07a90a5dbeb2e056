import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { KeyedLock } from './keyed-lock.ts'

const never = new AbortController().signal

test('first come, first served; other keys do not wait; nothing is kept', async () => {
  const locks = new KeyedLock()
  const order: number[] = []
  const work = async (n: number) => {
    using _lock = await locks.lock('a', never)
    await turn()
    order.push(n)
  }
  const all = [1, 2, 3].map(work)
  {
    using _other = await locks.lock('b', never)
    assert.deepEqual(order, [])
    assert.equal(locks.isHeld('a'), true)
  }
  await Promise.all(all)
  assert.deepEqual(order, [1, 2, 3])
  await turn()
  assert.equal(locks.size, 0)
})

test('a waiter that gives up leaves its place to the next', async () => {
  const locks = new KeyedLock()
  const first = await locks.lock('a', never)
  const caller = new AbortController()
  const impatient = locks.lock('a', caller.signal)
  const patient = locks.lock('a', never)
  caller.abort(new Error('left'))
  await assert.rejects(impatient, /left/)
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  const held = await patient
  assert.equal(locks.isHeld('a'), true)
  held[Symbol.dispose]()
  await turn()
  assert.equal(locks.size, 0)
  await assert.rejects(locks.lock('a', AbortSignal.abort(new Error('too late'))), /too late/)
  await turn()
  assert.equal(locks.size, 0)
})
