import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { stagesUnderWay } from '@coracle/base/stages'
import type { DiskUsage } from '@coracle/host'
import type { Store } from './store/store.ts'
import { createContainerUsage } from './usage.ts'

// Only the directories are asked of it.
const store = { layout: { layers: tmpdir(), containers: tmpdir() } } as unknown as Store

/** Counts end when the test says so. */
function slowDisk() {
  const counts: PromiseWithResolvers<DiskUsage>[] = []
  const diskUsage = () => {
    const count = Promise.withResolvers<DiskUsage>()
    counts.push(count)
    return count.promise
  }
  return { counts, diskUsage, end: (usedBytes: bigint) => counts.at(-1)?.resolve({ usedBytes, inodes: 1n }) }
}

const soon = () => AbortSignal.timeout(5000)

test('the count of writable layers goes on for others when the one who asked has left', async () => {
  const disk = slowDisk()
  const usage = createContainerUsage(store, disk, { closing: soon() })
  await assert.rejects(usage(AbortSignal.timeout(10)))
  assert.ok([...stagesUnderWay()].some(({ kind }) => kind === 'disk usage'))
  const next = usage(soon())
  disk.end(7n)
  assert.equal((await next).usedBytes, 7n)
  assert.equal((await usage(soon())).usedBytes, 7n)
  assert.equal(disk.counts.length, 1)
})

test('the last count is told while a new one takes long or fails', async () => {
  const disk = slowDisk()
  const usage = createContainerUsage(store, disk, { closing: soon(), freshMs: 0, patienceMs: 20 })
  const first = usage(soon())
  await new Promise(setImmediate)
  disk.end(1n)
  await first
  assert.equal((await usage(soon())).usedBytes, 1n)
  assert.equal((await usage(soon())).usedBytes, 1n)
  assert.equal(disk.counts.length, 2, 'one count at a time')
  disk.counts.at(-1)?.reject(new Error('the disk is gone'))
  await new Promise(setImmediate)
  const again = usage(soon())
  await new Promise(setImmediate)
  disk.end(2n)
  assert.equal((await again).usedBytes, 2n)
})
