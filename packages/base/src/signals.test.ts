import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from './errors.ts'
import { abortable, delay, timeoutError, within } from './signals.ts'

const settle = () => new Promise((resolve) => setImmediate(resolve))

test('abortable settles as the work, and rejects as soon as the signal aborts', async () => {
  const caller = new AbortController()
  assert.equal(await abortable(Promise.resolve(1), caller.signal), 1)
  const waiting = abortable(new Promise(() => {}), caller.signal)
  caller.abort(new Error('gone'))
  await assert.rejects(waiting, /gone/)
})

test('work that fails after its waiter left, or before it came, is no unhandled rejection', async () => {
  const unhandled: unknown[] = []
  const note = (err: unknown) => unhandled.push(err)
  process.on('unhandledRejection', note)
  try {
    const { promise, reject } = Promise.withResolvers<void>()
    await assert.rejects(abortable(promise, AbortSignal.abort(new Error('left'))), /left/)
    reject(new Error('late failure'))
    await settle()
    assert.deepEqual(unhandled, [])
  } finally {
    process.off('unhandledRejection', note)
  }
})

test('delay ends early with the reason, and takes its listener off the signal', async () => {
  const caller = new AbortController()
  let listeners = 0
  const { addEventListener, removeEventListener } = caller.signal
  Object.assign(caller.signal, {
    addEventListener: (...args: Parameters<typeof addEventListener>) => {
      listeners++
      addEventListener.apply(caller.signal, args)
    },
    removeEventListener: (...args: Parameters<typeof removeEventListener>) => {
      listeners--
      removeEventListener.apply(caller.signal, args)
    },
  })
  await delay(1, caller.signal)
  assert.equal(listeners, 0)
  const waiting = delay(60_000, caller.signal)
  caller.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  await assert.rejects(delay(1, caller.signal), /enough/)
})

test('deadlines say what did not finish', async () => {
  assert.match(timeoutError('probe', 500).message, /probe did not finish within 500 ms/)
  assert.match(timeoutError('probe', 2000).message, /within 2 s/)
  const signal = within(new AbortController().signal, 1)
  await delay(20)
  assert.equal(codeOf(signal.reason), 'deadline_exceeded')
})
