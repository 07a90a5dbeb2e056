import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { SingleFlight } from './single-flight.ts'

const never = new AbortController().signal

test('equal work runs once, and is forgotten when it is done', async () => {
  const flights = new SingleFlight<number>()
  let runs = 0
  const work = async () => {
    await turn()
    return ++runs
  }
  const results = await Promise.all([1, 2, 3].map(() => flights.join('k', never, work)))
  assert.deepEqual(results, [1, 1, 1])
  assert.equal(flights.size, 0)
  assert.equal(await flights.join('k', never, work), 2)
})

test('work is aborted when the last waiter leaves, unless it shall continue', async () => {
  const flights = new SingleFlight<number>()
  const signals: AbortSignal[] = []
  const { promise, resolve } = Promise.withResolvers<number>()
  const work = (signal: AbortSignal) => {
    signals.push(signal)
    return promise
  }
  const [a, b] = [new AbortController(), new AbortController()]
  const waits = [flights.join('k', a.signal, work), flights.join('k', b.signal, work)]
  const kept = flights.join('kept', a.signal, work, 'continue')
  await turn()
  a.abort(new Error('a left'))
  await assert.rejects(Promise.race([waits[0], kept]), /a left/)
  assert.equal(signals[0]?.aborted, false)
  b.abort(new Error('b left'))
  await Promise.allSettled(waits)
  assert.equal(signals[0]?.aborted, true)
  assert.equal(signals[1]?.aborted, false)
  // The aborted one is not joined any more; the continued one is.
  const again = flights.join('k', never, async () => 7)
  const joined = flights.join('kept', never, async () => 8, 'continue')
  resolve(1)
  assert.deepEqual(await Promise.all([again, joined]), [7, 1])
  assert.equal(flights.size, 0)
})

test('a failure reaches all waiters, and nobody when all have left', async () => {
  const flights = new SingleFlight<void>()
  const failing = async () => {
    await turn()
    throw new Error('no')
  }
  await assert.rejects(Promise.all([flights.join('k', never, failing), flights.join('k', never, failing)]), /no/)
  const caller = new AbortController()
  const left = flights.join('k', caller.signal, failing, 'continue')
  caller.abort(new Error('left'))
  await assert.rejects(left, /left/)
  await turn()
  assert.equal(flights.size, 0)
})
