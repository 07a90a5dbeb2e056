import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAge, formatBytes, parseDurationMs, parseSizeBytes } from './quantities.ts'

test('durations', () => {
  const cases: [string, number | undefined][] = [
    ['10', 10_000],
    ['0', 0],
    ['1.5s', 1500],
    ['1h2m3s', 3_723_000],
    ['250ms', 250],
    ['2d', 172_800_000],
    ['', undefined],
    ['5x', undefined],
    ['-1s', undefined],
    ['s', undefined],
  ]
  for (const [text, ms] of cases) assert.equal(parseDurationMs(text), ms, text)
})

test('sizes', () => {
  const cases: [string, number | undefined][] = [
    ['512', 512],
    ['64m', 67_108_864],
    ['64M', 67_108_864],
    ['1.5g', 1_610_612_736],
    ['100Mi', 104_857_600],
    ['10kb', 10_240],
    ['1KiB', 1024],
    ['12b', 12],
    ['', undefined],
    ['m', undefined],
    ['1x', undefined],
  ]
  for (const [text, bytes] of cases) assert.equal(parseSizeBytes(text), bytes, text)
})

test('bytes are shown with three digits and decimal units', () => {
  const cases: [number, string][] = [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [1_234_567, '1.23MB'],
    [683_000, '683kB'],
    [45_600_000_000, '45.6GB'],
  ]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
})

test('ages', () => {
  const now = Date.parse('2030-01-01T00:00:00Z')
  const cases: [number, string][] = [
    [0.4, 'Less than a second ago'],
    [1, '1 second ago'],
    [59, '59 seconds ago'],
    [60, 'About a minute ago'],
    [180, '3 minutes ago'],
    [3600, 'About an hour ago'],
    [7200, '2 hours ago'],
    [86_400 * 3, '3 days ago'],
    [86_400 * 20, '2 weeks ago'],
    [86_400 * 100, '3 months ago'],
    [86_400 * 900, '2 years ago'],
  ]
  for (const [seconds, text] of cases) assert.equal(formatAge(BigInt(now - seconds * 1000) * 1_000_000n, now), text)
  assert.equal(formatAge(0n, now), 'unknown')
})
