import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Limiter } from './limiter.ts'

const never = new AbortController().signal

test('never more than the limit at once, in order, also after failures', async () => {
  const limiter = new Limiter(2)
  const order: number[] = []
  let [running, most] = [0, 0]
  const work = (n: number) =>
    limiter.run(never, async () => {
      most = Math.max(most, ++running)
      order.push(n)
      await turn()
      running--
      if (n === 2) throw new Error('two')
    })
  await Promise.allSettled([1, 2, 3, 4, 5].map(work))
  assert.deepEqual(order, [1, 2, 3, 4, 5])
  assert.equal(most, 2)
})

test('who gives up waiting takes no place', async () => {
  const limiter = new Limiter(1)
  const { promise, resolve } = Promise.withResolvers<void>()
  const first = limiter.run(never, () => promise)
  const caller = new AbortController()
  let ran = false
  const impatient = limiter.run(caller.signal, async () => {
    ran = true
  })
  const patient = limiter.run(never, async () => 'done')
  caller.abort(new Error('left'))
  await assert.rejects(impatient, /left/)
  resolve()
  await first
  assert.equal(await patient, 'done')
  assert.equal(ran, false)
  await assert.rejects(
    limiter.run(caller.signal, async () => {}),
    /left/,
  )
})
