import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { nowNs } from '@coracle/base/clock'
import type { ContainerId } from '@coracle/base/ids'
import { stagesUnderWay } from '@coracle/base/stages'
import type { CgroupUsage } from '@coracle/host'
import { CpuWindows } from './cpu-windows.ts'
import { LayerUsage } from './layer-usage.ts'
import { sumUsage } from './sum.ts'

test('LayerUsage counts in the background, where one sees what it hangs in, and says when it counted', async () => {
  const counted = Promise.withResolvers<Map<string, object>>()
  // Only what is asked of them here.
  const services = {
    images: { writableLayer: (id: string) => `/layers/${id}/diff` },
    host: { paths: { diskUsages: () => counted.promise } },
    shutdown: new AbortController().signal,
  } as unknown as ConstructorParameters<typeof LayerUsage>[0]
  const layers = new LayerUsage(services)
  const id = 'c' as ContainerId
  assert.equal(layers.latest(id), undefined)
  await setImmediate()
  const counts = () => [...stagesUnderWay()].filter(({ kind, on }) => kind === 'disk usage' && on === 'writable layers')
  assert.equal(counts().length, 1)
  const before = nowNs()
  counted.resolve(new Map([['/layers/c/diff', { usedBytes: 5n, inodes: 2n }]]))
  await setImmediate()
  assert.equal(counts().length, 0)
  const use = layers.latest(id)
  assert.equal(use?.usedBytes, 5n)
  assert.ok((use?.countedAtNs ?? 0n) > before)
})

test('CpuWindows measures between readings a second apart', () => {
  const windows = new CpuWindows()
  const hourMs = 3_600_000
  assert.equal(windows.rate('a', 5e9, 0, hourMs), undefined)
  assert.equal(windows.rate('a', 5.1e9, 500, hourMs), undefined)
  assert.equal(windows.rate('a', 7e9, 2000, hourMs), 1e9)
  // Too soon for a new window: the last one is told.
  assert.equal(windows.rate('a', 9e9, 2300, hourMs), 1e9)
  assert.equal(windows.rate('a', 7e9 + 5e8, 12_000, hourMs), 5e7)
})

test('CpuWindows takes the time since the start as the first window of what is young', () => {
  const windows = new CpuWindows()
  assert.equal(windows.rate('a', 1e9, 0, 2000), 5e8)
  assert.equal(windows.rate('b', 1e9, 0, 500), undefined)
})

test('CpuWindows begins anew when a counter was reset, and forgets what is gone', () => {
  const windows = new CpuWindows()
  windows.rate('a', 9e9, 0, 1e9)
  assert.equal(windows.rate('a', 1e9, 5000, 1e9), undefined)
  assert.equal(windows.rate('a', 2e9, 6000, 1e9), 1e9)
  windows.prune(() => false)
  assert.equal(windows.size, 0)
})

test('sumUsage() adds up what can be added', () => {
  const memory = {
    ...{ usageBytes: 10, workingSetBytes: 8, rssBytes: 4, cacheBytes: 3, mappedFileBytes: 2 },
    ...{ pageFaults: 1, majorPageFaults: 1, swapBytes: 5, limitBytes: 100, swapLimitBytes: undefined },
  }
  const none = { cpuPressure: undefined, memoryPressure: undefined, ioPressure: undefined }
  const usage: CgroupUsage = { cpuNs: 7, memory, tasks: 2, ...none }
  const sum = sumUsage([usage, undefined, { cpuNs: 1, memory: undefined, tasks: undefined, ...none }])
  assert.equal(sum?.cpuNs, 8)
  assert.equal(sum?.tasks, 2)
  assert.equal(sum?.memory?.workingSetBytes, 8)
  assert.equal(sum?.memory?.limitBytes, undefined)
  assert.equal(sumUsage([undefined]), undefined)
})
