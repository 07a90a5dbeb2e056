// ListMetricDescriptors, ListPodSandboxMetrics and its stream.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Metric, PodSandboxMetrics } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { assertRecent, collect } from './expect.ts'
import { type ContainerUnderTest, criSuite } from './suite.ts'

/** Only with a block device below that tells, or where the kernel keeps the numbers. */
const optional = /^container_(blkio_device_usage|fs_(reads|writes)|pressure|hugetlb)/

criSuite('metrics', (cri) => {
  const metricsOf = async (podId: string): Promise<PodSandboxMetrics> => {
    const { podMetrics } = await cri.runtime.listPodSandboxMetrics({})
    const found = podMetrics.find(({ podSandboxId }) => podSandboxId === podId)
    assert.ok(found)
    return found
  }
  const all = (metrics: PodSandboxMetrics): Metric[] => [
    ...metrics.metrics,
    ...metrics.containerMetrics.flatMap((container) => container.metrics),
  ]
  const valuesOf = async (container: ContainerUnderTest, name: string) => {
    const { containerMetrics } = await metricsOf(container.pod.id)
    const own = containerMetrics.find(({ containerId }) => containerId === container.id)
    return (own?.metrics ?? []).filter((metric) => metric.name === `container_${name}`).map(({ value }) => value?.value ?? 0n)
  }

  describe('metrics', needs('metrics'), () => {
    it('all occur for a running container, with a value for every label', async () => {
      await using pod = await cri.pod()
      await pod.run({ linux: { resources: { memoryLimitInBytes: 64n << 20n, cpuPeriod: 100_000n, cpuQuota: 20_000n } } })
      const { descriptors } = await cri.runtime.listMetricDescriptors({})
      assert.equal(descriptors.length, 56)
      assert.equal(new Set(descriptors.map(({ name }) => name)).size, 56)
      const found = all(await metricsOf(pod.id))
      for (const { name, help, labelKeys } of descriptors) {
        assert.notEqual(help, '')
        const own = found.filter((metric) => metric.name === name)
        assert.ok(own.length > 0 || optional.test(name), name)
        for (const { labelValues, value, timestamp } of own) {
          assert.equal(labelValues.length, labelKeys.length, name)
          assert.ok(value, name)
          assertRecent(timestamp)
        }
        const series = own.map(({ labelValues }) => labelValues.join('\n'))
        assert.equal(new Set(series).size, series.length, `${name} is told twice`)
      }
      const known = new Set(descriptors.map(({ name }) => name))
      for (const { name } of found) assert.ok(known.has(name), `${name} is not described`)
    })

    it('have labels that name pod and container', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const { descriptors } = await cri.runtime.listMetricDescriptors({})
      const keys = descriptors.find(({ name }) => name === 'container_memory_rss')?.labelKeys ?? []
      const { containerMetrics } = await metricsOf(pod.id)
      const rss = containerMetrics[0]?.metrics.find(({ name }) => name === 'container_memory_rss')
      const labels = Object.fromEntries(keys.map((key, index) => [key, rss?.labelValues[index]]))
      assert.equal(labels['container'], container.config.metadata?.name)
      assert.equal(labels['name'], container.id)
      assert.equal(labels['pod'], pod.config.metadata?.name)
      assert.equal(labels['namespace'], 'tests')
      assert.match(labels['id'] ?? '', new RegExp(container.id))
      assert.notEqual(labels['image'], '')
    })

    it('count page faults in both scopes that queries for cAdvisor name', async () => {
      await using pod = await cri.pod()
      await pod.run()
      const { descriptors } = await cri.runtime.listMetricDescriptors({})
      const keys = descriptors.find(({ name }) => name === 'container_memory_failures_total')?.labelKeys ?? []
      const series = all(await metricsOf(pod.id))
        .filter(({ name }) => name === 'container_memory_failures_total')
        .map(({ labelValues }) => [labelValues[keys.indexOf('failure_type')], labelValues[keys.indexOf('scope')]].join(' '))
      const expected = ['pgfault container', 'pgfault hierarchy', 'pgmajfault container', 'pgmajfault hierarchy']
      assert.deepEqual(series.toSorted(), expected)
    })

    it('tell the limits and processes there are', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({
        command: ['sh', '-c', 'sleep 1000 & sleep 1000 & wait'],
        linux: { resources: { memoryLimitInBytes: 64n << 20n, cpuPeriod: 100_000n, cpuQuota: 20_000n } },
      })
      assert.deepEqual(await valuesOf(container, 'spec_memory_limit_bytes'), [64n << 20n])
      assert.deepEqual(await valuesOf(container, 'spec_cpu_quota'), [20_000n])
      assert.deepEqual(await valuesOf(container, 'spec_cpu_period'), [100_000n])
      assert.deepEqual(await valuesOf(container, 'processes'), [3n])
      assert.deepEqual(await valuesOf(container, 'threads'), [3n])
      const [descriptors = 0n] = await valuesOf(container, 'file_descriptors')
      assert.ok(descriptors >= 9n, `${descriptors} open files`)
    })

    it('count what the OOM killer did', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({
        linux: { resources: { memoryLimitInBytes: 32n << 20n, memorySwapLimitInBytes: 32n << 20n } },
      })
      assert.deepEqual(await valuesOf(container, 'oom_events_total'), [0n])
      await container.exec(['sh', '-c', 'tail /dev/zero'])
      const [kills = 0n] = await valuesOf(container, 'oom_events_total')
      assert.ok(kills >= 1n)
    })

    it('come as a stream, too, and not of pods that are stopped', async () => {
      await using pod = await cri.pod()
      await pod.run()
      const streamed = (await collect(cri.runtime.streamPodSandboxMetrics({}))).flatMap(
        ({ podSandboxMetrics }) => podSandboxMetrics,
      )
      assert.deepEqual(
        streamed.map(({ podSandboxId }) => podSandboxId),
        [pod.id],
      )
      assert.ok(streamed[0] && all(streamed[0]).length > 50)
      await pod.stop()
      assert.deepEqual((await cri.runtime.listPodSandboxMetrics({})).podMetrics, [])
    })
  })
})
