import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@coracle/cri-api/json'
import { LayerState } from '@coracle/cri-api/progress'
import { PullPhase, PullSchema } from '@coracle/cri-api/pulls'
import { renderPulls } from './pulls-table.ts'

test('layers, bytes, speed, time left and who waits', () => {
  const pull = create(PullSchema, {
    image: 'r/a:1',
    startedAt: 1_000_000_000n,
    phase: PullPhase.LAYERS,
    layers: [{ state: LayerState.EXISTS }, { state: LayerState.DOWNLOADING }, { state: LayerState.UNPACKING }],
    downloadedBytes: 500n,
    totalBytes: 2000n,
    bytesPerSecond: 100n,
    etaMs: 15_000n,
    waiters: ['default/web', 'default/web', 'kube-system/dns'],
  })
  const [, row = ''] = renderPulls([pull], 131_000).split('\n')
  assert.deepEqual(row.split(/ {3,}/), [
    'r/a:1',
    '1/3, 1 coming, 1 unpacking',
    '500B / 2kB',
    '100B/s',
    '15s',
    '2m10s',
    'default/web (2), kube-system/dns',
  ])
})

test('a pull that knows nothing yet, and no pull at all', () => {
  const pull = create(PullSchema, { image: 'r/a:1', startedAt: 0n, phase: PullPhase.RESOLVING, waiters: ['default/web'] })
  const [, row = ''] = renderPulls([pull], 3000).split('\n')
  assert.deepEqual(row.split(/ {3,}/), ['r/a:1', 'asking the registry', '-', '-', '-', '3s', 'default/web'])
  assert.equal(renderPulls([], 0), 'nothing is being pulled\n')
})
