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

test('deadlines have a clock of their own', (t) => {
  const before = monotonicMs()
  t.mock.method(Date, 'now', () => 0)
  assert.ok(monotonicMs() >= before)
})
