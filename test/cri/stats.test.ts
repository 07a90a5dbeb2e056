// ContainerStats, PodSandboxStats, their lists and streams. The numbers are held against what the container did.
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { NamespaceMode } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { needs } from './differences.ts'
import { assertRecent, collect, failsWith } from './expect.ts'
import { type ContainerUnderTest, criSuite, type PodUnderTest } from './suite.ts'

const MIB = 1n << 20n
const UNKNOWN_ID = '0123456789abcdef'.repeat(4)
const SPIN = ['sh', '-c', 'while true; do :; done']

criSuite('stats', (cri) => {
  const statsOf = async ({ id }: ContainerUnderTest) => {
    const { stats } = await cri.runtime.containerStats({ containerId: id })
    assert.ok(stats)
    return stats
  }
  const podStatsOf = async ({ id }: PodUnderTest) => {
    const { stats } = await cri.runtime.podSandboxStats({ podSandboxId: id })
    assert.ok(stats?.linux)
    return { ...stats, linux: stats.linux }
  }

  describe('ContainerStats', () => {
    it('has identity, times and a real directory of the writable layer', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ labels: { app: 'a' }, annotations: { note: 'n' } })
      let stats = await statsOf(container)
      // containerd looks at writable layers every ten seconds only.
      for (let tries = 0; (stats.writableLayer?.timestamp ?? 0n) === 0n && tries < 60; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 500))
        stats = await statsOf(container)
      }
      assert.equal(stats.attributes?.id, container.id)
      assert.equal(stats.attributes?.metadata?.name, container.config.metadata?.name)
      assert.equal(stats.attributes?.labels['app'], 'a')
      assert.equal(stats.attributes?.annotations['note'], 'n')
      for (const time of [stats.cpu?.timestamp, stats.memory?.timestamp, stats.writableLayer?.timestamp]) assertRecent(time ?? 0n)
      assert.ok(statSync(stats.writableLayer?.fsId?.mountpoint ?? '').isDirectory())
    })

    it('measures CPU over a window, and cumulates it', needs('statsDetails'), async () => {
      await using pod = await cri.pod()
      const busy = await pod.run({ command: SPIN, linux: { resources: { cpuPeriod: 100_000n, cpuQuota: 30_000n } } })
      const idle = await pod.run()
      const first = await statsOf(busy)
      await statsOf(idle)
      await new Promise((resolve) => setTimeout(resolve, 3000))
      const second = await statsOf(busy)
      const usedNs = (second.cpu?.usageCoreNanoSeconds?.value ?? 0n) - (first.cpu?.usageCoreNanoSeconds?.value ?? 0n)
      const elapsedNs = (second.cpu?.timestamp ?? 0n) - (first.cpu?.timestamp ?? 0n)
      const expected = Number((usedNs * 1_000_000_000n) / elapsedNs)
      const told = Number(second.cpu?.usageNanoCores?.value ?? 0n)
      assert.ok(usedNs > 10_000_000n && told < 350_000_000, `${usedNs} ns in ${elapsedNs} ns, ${told} nanocores`)
      assert.ok(Math.abs(told - expected) < expected * 0.2 + 1_000_000, `${told} nanocores, expected ${expected}`)
      assert.ok(Number((await statsOf(idle)).cpu?.usageNanoCores?.value ?? -1n) < 50_000_000)
    })

    it('leaves inactive page cache out of the working set; available counts from the limit', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { resources: { memoryLimitInBytes: 64n * MIB } } })
      await container.sh('dd if=/dev/zero of=/big bs=1M count=16 2>/dev/null')
      const { memory } = await statsOf(container)
      const workingSet = memory?.workingSetBytes?.value ?? 0n
      const usage = memory?.usageBytes?.value ?? 0n
      assert.ok(usage >= workingSet && usage > 12n * MIB, `usage ${usage}`)
      assert.ok(workingSet < 8n * MIB, `working set ${workingSet}`)
      assert.equal(memory?.availableBytes?.value, 64n * MIB - workingSet)
      assert.ok((memory?.pageFaults?.value ?? 0n) > 0n)
    })

    it('tells no available memory without a limit', async () => {
      await using pod = await cri.pod()
      const { memory } = await statsOf(await pod.run())
      assert.ok((memory?.availableBytes?.value ?? 0n) === 0n || memory?.availableBytes === undefined)
    })

    it('counts the writable layer in the background', needs('statsDetails'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await container.sh(
        'mkdir /d; for i in 1 2 3 4 5; do echo $i > /d/$i; done; dd if=/dev/urandom of=/d/big bs=1M count=3 2>/dev/null; sync',
      )
      const used = await eventually('the layer is counted', async () => (await statsOf(container)).writableLayer?.usedBytes)
      assert.ok(used.value > 3n * MIB && used.value < 5n * MIB, `${used.value} bytes`)
      const inodes = (await statsOf(container)).writableLayer?.inodesUsed?.value ?? 0n
      assert.ok(inodes >= 7n && inodes < 30n, `${inodes} inodes`)
    })

    it('has pressure where the kernel keeps it', needs('statsDetails'), async () => {
      if (!existsSync('/proc/pressure')) return
      await using pod = await cri.pod()
      const container = await pod.run({ command: SPIN, linux: { resources: { cpuPeriod: 100_000n, cpuQuota: 5_000n } } })
      // The kernel adds waiting up every two seconds.
      await eventually('it waits for CPU', async () => ((await statsOf(container)).cpu?.psi?.Some?.Total ?? 0n) > 1_000_000n)
      const stats = await statsOf(container)
      assert.ok(stats.memory?.psi && stats.io?.psi)
    })

    it('has only the layer of an ended container', needs('statsDetails'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['true'] })
      await container.exited()
      const stats = await statsOf(container)
      assert.equal(stats.cpu, undefined)
      assert.ok(stats.writableLayer)
    })

    it('answers NotFound for what does not exist', async () => {
      await failsWith('not_found', cri.runtime.containerStats({ containerId: UNKNOWN_ID }))
      await failsWith(['not_found', 'internal'], cri.runtime.podSandboxStats({ podSandboxId: UNKNOWN_ID }))
    })
  })

  describe('ListContainerStats', () => {
    it('leaves out ended containers, and filters by id prefix, pod and labels', needs('statsDetails'), async () => {
      await using pod = await cri.pod()
      await using other = await cri.pod()
      const one = await pod.run({ labels: { app: 'one', tier: 'x' } })
      const two = await other.run({ labels: { app: 'two', tier: 'x' } })
      const ended = await pod.run({ command: ['true'], labels: { tier: 'x' } })
      await ended.exited()
      const ids = async (filter?: object) =>
        (await cri.runtime.listContainerStats(filter ? { filter } : {})).stats.map(({ attributes }) => attributes?.id).toSorted()
      assert.deepEqual(await ids(), [one.id, two.id].toSorted())
      assert.deepEqual(await ids({ labelSelector: { tier: 'x' } }), [one.id, two.id].toSorted())
      assert.deepEqual(await ids({ id: one.id.slice(0, 10) }), [one.id])
      assert.deepEqual(await ids({ podSandboxId: other.id }), [two.id])
      assert.deepEqual(await ids({ labelSelector: { app: 'two' } }), [two.id])
      assert.deepEqual(await ids({ podSandboxId: other.id, labelSelector: { app: 'one' } }), [])
      const streamed = await collect(cri.runtime.streamContainerStats({}))
      assert.deepEqual(
        streamed.flatMap(({ containerStats }) => containerStats.map(({ attributes }) => attributes?.id)).toSorted(),
        [one.id, two.id].toSorted(),
      )
    })
  })

  describe('PodSandboxStats', needs('statsDetails'), () => {
    it('has the network, processes and containers of the pod', async () => {
      await using pod = await cri.pod()
      const before = await podStatsOf(pod)
      assert.equal(before.linux.network?.defaultInterface?.name, 'eth0')
      const container = await pod.run()
      await container.sh(
        'ping -c 3 -s 1000 -i 0.2 $(ip route | sed -n "s/.*src //p;q") >/dev/null 2>&1; ping -c 2 10.0.0.1 -W 1 || true',
      )
      const { attributes, linux } = await podStatsOf(pod)
      assert.equal(attributes?.id, pod.id)
      assert.equal(attributes?.metadata?.uid, pod.config.metadata?.uid)
      assert.ok(!linux.network?.interfaces.some(({ name }) => name === 'lo' || name === 'eth0'))
      assert.ok((linux.network?.defaultInterface?.rxBytes?.value ?? 0n) > 0n)
      assert.ok((linux.process?.processCount?.value ?? 0n) >= 1n)
      assert.deepEqual(
        linux.containers.map(({ attributes }) => attributes?.id),
        [container.id],
      )
      assert.ok((linux.memory?.usageBytes?.value ?? 0n) > 0n)
      assertRecent(linux.cpu?.timestamp ?? 0n)
    })

    it('tells pods of one cgroup parent apart', async () => {
      const cgroupParent = `/${cri.unique('coracle-test-shared-')}`
      await using one = await cri.pod({ linux: { cgroupParent } })
      await using two = await cri.pod({ linux: { cgroupParent } })
      const big = await one.run()
      await two.run()
      await big.sh('dd if=/dev/zero of=/big bs=1M count=16 2>/dev/null')
      const used = async (pod: PodUnderTest) => (await podStatsOf(pod)).linux.memory?.usageBytes?.value ?? 0n
      assert.ok((await used(one)) > 12n * MIB)
      assert.ok((await used(two)) < 8n * MIB)
    })

    it("says nothing of the host's network, and always has linux", async () => {
      await using pod = await cri.pod({ linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } })
      const stats = await podStatsOf(pod)
      assert.equal(stats.linux.network, undefined)
      await pod.stop()
      assert.deepEqual((await podStatsOf(pod)).linux.containers, [])
    })

    it('lists and streams ready pods, filtered', async () => {
      await using one = await cri.pod({ labels: { app: 'one' } })
      await using two = await cri.pod({ labels: { app: 'two' } })
      const ids = async (filter?: object) =>
        (await cri.runtime.listPodSandboxStats(filter ? { filter } : {})).stats.map(({ attributes }) => attributes?.id).toSorted()
      assert.deepEqual(await ids(), [one.id, two.id].toSorted())
      assert.deepEqual(await ids({ id: one.id.slice(0, 12) }), [one.id])
      assert.deepEqual(await ids({ labelSelector: { app: 'two' } }), [two.id])
      const streamed = await collect(cri.runtime.streamPodSandboxStats({}))
      assert.equal(streamed.flatMap(({ podSandboxStats }) => podSandboxStats).length, 2)
      await two.stop()
      assert.deepEqual(await ids(), [one.id])
    })
  })
})
