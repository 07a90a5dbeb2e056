import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ListContainerStatsResponseSchema, ListPodSandboxStatsResponseSchema } from '@coracle/cri-api'
import { create, fromBinary } from '@coracle/cri-api/protobuf'
import type { ContainerUse, PodUse } from '@coracle/lifecycle'
import { listOf } from '../encoded.ts'
import { containerStats, containerStatsItem, podStats, podStatsItem } from './stats.ts'

const times = { totalNs: 5_000_000_000, avg10: 1.5, avg60: 0.25, avg300: 0 }
const pressure = { some: times, full: times }

/** What the readers give, as far as the conversion looks at it. */
function uses(): { container: ContainerUse; pod: PodUse } {
  const config = { labels: { app: 'a'.repeat(300) }, annotations: { note: 'n' } }
  const usage = {
    ...{ cpuNs: 2 ** 52, tasks: 3, cpuPressure: pressure, memoryPressure: pressure, ioPressure: undefined },
    memory: {
      ...{ usageBytes: 100, workingSetBytes: 80, rssBytes: 10, cacheBytes: 20, mappedFileBytes: 5, pageFaults: 7 },
      ...{ majorPageFaults: 1, swapBytes: 4, limitBytes: 64, swapLimitBytes: 10 },
    },
  }
  const container = {
    ...{ container: { id: 'c', config: { ...config, metadata: { name: 'main', attempt: 1 } } }, timestampNs: 77n, usage },
    ...{ nanoCores: 5, fileSystem: '/var/lib', layer: { usedBytes: 9n, inodes: 2n, countedAtNs: 60n } },
  } as unknown as ContainerUse
  const counters = { rxBytes: 1, rxPackets: 2, rxErrors: 3, rxDropped: 4, txBytes: 5, txPackets: 6, txErrors: 7, txDropped: 8 }
  const pod = {
    ...{ pod: { id: 'p', config: { ...config, metadata: { name: 'web', uid: 'u', namespace: 'n', attempt: 0 } } } },
    ...{ timestampNs: 78n, usage, nanoCores: undefined, containers: [container, container] },
    network: { defaultName: 'eth0', interfaces: ['net1', 'eth0'].map((name) => ({ name, ...counters })) },
  } as unknown as PodUse
  return { container, pod }
}

test('containerStatsItem() and podStatsItem() are the encodings of the whole messages, also a second time', () => {
  const { container, pod } = uses()
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(
      fromBinary(ListContainerStatsResponseSchema, listOf([containerStatsItem(container), containerStatsItem(container)]).bytes),
      create(ListContainerStatsResponseSchema, { stats: [containerStats(container), containerStats(container)] }),
    )
    assert.deepEqual(
      fromBinary(ListPodSandboxStatsResponseSchema, listOf([podStatsItem(pod)]).bytes),
      create(ListPodSandboxStatsResponseSchema, { stats: [podStats(pod)] }),
    )
  }
})

test('the writable layer has the time at which it was counted', () => {
  const { container } = uses()
  assert.equal(containerStats(container).writableLayer.timestamp, 60n)
  assert.equal(containerStats({ ...container, layer: undefined }).writableLayer.timestamp, 77n)
})

test('available memory and swap are never below nothing; the default interface stands alone', () => {
  const { container, pod } = uses()
  const stats = create(ListContainerStatsResponseSchema, { stats: [containerStats(container)] }).stats[0]
  assert.equal(stats?.memory?.availableBytes?.value, 0n)
  assert.equal(stats?.swap?.swapAvailableBytes?.value, 6n)
  assert.equal(stats?.cpu?.psi?.Some?.Total, 5_000_000_000n)
  const { linux } = podStats(pod)
  const reply = create(ListPodSandboxStatsResponseSchema, { stats: [{ linux }] }).stats[0]
  assert.equal(reply?.linux?.network?.defaultInterface?.name, 'eth0')
  assert.deepEqual(
    reply?.linux?.network?.interfaces.map(({ name }) => name),
    ['net1'],
  )
})
