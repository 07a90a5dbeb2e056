import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PullPhase } from '@coracle/cri-api/pulls'
import type { PullStatus } from '@coracle/image'
import { pullsRoutes } from './pulls.ts'

const pull = (downloadedBytes: number): PullStatus => ({
  image: 'r/a:1',
  startedAtMs: 1000,
  phase: 'layers',
  layers: [],
  downloadedBytes,
  totalBytes: 100,
  bytesPerSecond: 5,
  waiters: ['default/web'],
})

test('a watcher is told at once and of changes, and is sent away at the end', async () => {
  let current: readonly PullStatus[] = [pull(1)]
  const closing = new AbortController()
  const routes = pullsRoutes({ images: { pulls: () => current } }, closing.signal)
  const heard: number[] = []
  assert.ok(routes.watchPulls)
  const call = { signal: new AbortController().signal } as Parameters<typeof routes.watchPulls>[1]
  for await (const answer of await routes.watchPulls({ $typeName: 'coracle.v1.ListPullsRequest' }, call)) {
    assert.ok('pulls' in answer)
    const [first] = answer.pulls ?? []
    assert.equal(first?.phase, PullPhase.LAYERS)
    assert.equal(first?.etaMs, undefined)
    heard.push(Number(first?.downloadedBytes))
    if (heard.length === 2) closing.abort()
    else current = [pull(2)]
  }
  assert.deepEqual(heard, [1, 2])
})
