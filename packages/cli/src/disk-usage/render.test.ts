import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@coracle/cri-api/json'
import { DiskUsageResponseSchema } from '@coracle/cri-api/store'
import { renderDetails, renderSummary, summaryLines } from './render.ts'

const usage = create(DiskUsageResponseSchema, {
  images: [
    { id: 'sha256:aaaa', names: ['a:1'], uniqueBytes: 100n, sharedBytes: 50n, containers: 1 },
    { id: 'sha256:bbbb', names: ['b:1'], uniqueBytes: 30n, sharedBytes: 50n, damage: 'gone' },
    { id: 'sha256:cccc', names: ['c:1'], readOnly: true },
  ],
  layers: [
    { key: 'sha256:1', usedBytes: 100n, images: ['sha256:aaaa'], containers: ['x'] },
    { key: 'sha256:2', usedBytes: 50n, images: ['sha256:aaaa', 'sha256:bbbb'], containers: ['x'] },
    { key: 'sha256:3', usedBytes: 30n, images: ['sha256:bbbb'], reclaimable: true },
    { key: '', usedBytes: 7n, containers: ['x'] },
    { key: 'sha256:4', usedBytes: 1000n, images: ['sha256:cccc'], readOnly: true },
  ],
  containers: [
    { key: 'x', usedBytes: 5n, state: 'running' },
    { key: 'y', usedBytes: 6n, state: 'exited' },
  ],
  parts: [
    { kind: 'orphan', path: '/o', usedBytes: 3n },
    { kind: 'records', path: '/r', usedBytes: 2n },
  ],
  totals: [{ kind: 'total', path: '/', usedBytes: 210n }],
})

test('every byte of our own is in one line', () => {
  const lines = Object.fromEntries(summaryLines(usage).map(({ type, bytes, reclaimable }) => [type, [bytes, reclaimable]]))
  assert.deepEqual(lines, {
    Images: [130n, 30n],
    'Shared layers': [50n, 0n],
    'Layers without image': [7n, 0n],
    Containers: [11n, 6n],
    'Pulls under way': [0n, 0n],
    Orphans: [3n, 3n],
    Trash: [0n, 0n],
    Records: [2n, 0n],
    'Compressed layers': [0n, 0n],
    Cache: [0n, 0n],
  })
  const table = renderSummary(usage)
  assert.match(table, /^Directories +1 +0 +7B +0B$/m)
  assert.match(table, /^Total +210B +39B \(18%\)$/m)
})

test('details name what is special', () => {
  const text = renderDetails(usage)
  assert.match(text, /^bbbb +30B +50B +0 +b:1 +damaged$/m)
  assert.match(text, /^\(damaged copy\) +7B/m)
  assert.match(text, /^cccc .*read-only store$/m)
})
