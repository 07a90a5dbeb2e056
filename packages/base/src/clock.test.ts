import assert from 'node:assert/strict'
import { test } from 'node:test'
import { monotonicMs, nowNs } from './clock.ts'

test('wall time in nanoseconds, each one later than the one before', () => {
  let last = nowNs()
  assert.ok(Math.abs(Number(last / 1_000_000n) - Date.now()) < 1000)
  for (let i = 0; i < 10_000; i++) {
    const now = nowNs()
    assert.ok(now > last)
    last = now
  }
})

test('it follows a clock that was set, in both directions', async (t) => {
  const real = Date.now
  const day = 86_400_000
  const hour = BigInt(day / 24) * 1_000_000n
  for (const shift of [day, -day, 0]) {
    t.mock.method(Date, 'now', () => real() + shift)
    // Compared at most once a second.
    await new Promise((resolve) => setTimeout(resolve, 1010))
    const off = nowNs() - BigInt(real() + shift) * 1_000_000n
    assert.ok(off < hour && off > -hour, `${shift}: ${off}`)
  }
})

test('deadlines have a clock of their own', (t) => {
  const before = monotonicMs()
  t.mock.method(Date, 'now', () => 0)
  assert.ok(monotonicMs() >= before)
})
