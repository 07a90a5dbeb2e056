import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDigest } from '@coracle/oci-spec/digest'
import type { LayerProgress } from './images.ts'
import { PullUnderWay } from './pulls-under-way.ts'

const layer = (state: LayerProgress['state'], downloadedBytes: number, totalBytes = 1000): LayerProgress => ({
  digest: parseDigest('digest', `sha256:${'0'.repeat(64)}`),
  state,
  downloadedBytes,
  totalBytes,
})

test('speed and time left are of what has to come; layers that were here do not count', () => {
  const pull = new PullUnderWay('r/a:1')
  assert.equal(pull.status(0).phase, 'resolving')
  pull.note([layer('present', 0, 9999), layer('downloading', 0), layer('waiting', 0)], 0)
  pull.note([layer('present', 0, 9999), layer('downloading', 500), layer('waiting', 0)], 1000)
  const status = pull.status(1000)
  assert.deepEqual([status.downloadedBytes, status.totalBytes, status.bytesPerSecond, status.etaMs], [500, 2000, 500, 3000])
})

test('a pull that stands still has no speed and no time left', () => {
  const pull = new PullUnderWay('r/a:1')
  pull.note([layer('downloading', 0)], 0)
  pull.note([layer('downloading', 500)], 1000)
  assert.equal(pull.status(2000).bytesPerSecond, 250)
  const later = pull.status(60_000)
  assert.deepEqual([later.bytesPerSecond, later.etaMs], [0, undefined])
})

test('everybody who waits is named as long as they wait', () => {
  const pull = new PullUnderWay('r/a:1')
  using _web = pull.wait('default/web')
  const other = pull.wait('default/web')
  assert.deepEqual(pull.status().waiters, ['default/web', 'default/web'])
  other[Symbol.dispose]()
  assert.deepEqual(pull.status().waiters, ['default/web'])
})
