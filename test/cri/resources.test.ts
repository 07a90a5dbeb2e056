// Limits at creation, UpdateContainerResources running and created, UpdatePodSandboxResources. Read from the cgroups themselves.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ContainerState } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { type ContainerUnderTest, criSuite } from './suite.ts'

const UNKNOWN_ID = '0123456789abcdef'.repeat(4)
const MIB = 1n << 20n
const unified = existsSync('/sys/fs/cgroup/cgroup.controllers')

const NO_QUOTA = unified ? 'max' : '-1'

/** What the kernel enforces, the same for either version of cgroups. */
async function limitsOf(
  container: ContainerUnderTest,
): Promise<{ memory: bigint; quota: string; period: string; weight: string; cpus: string }> {
  const pid = await container.sh('cat /proc/self/cgroup')
  const read = (controller: string, v1: string, v2: string) => {
    const line = pid
      .split('\n')
      .find((text) => (unified ? text.startsWith('0::') : text.split(':')[1]?.split(',').includes(controller)))
    const path = line?.split(':').slice(2).join(':') ?? ''
    return readFileSync(unified ? `/sys/fs/cgroup${path}/${v2}` : `/sys/fs/cgroup/${controller}${path}/${v1}`, 'utf8').trim()
  }
  const [quota = '', period = ''] = unified
    ? read('cpu', '', 'cpu.max').split(' ')
    : [read('cpu', 'cpu.cfs_quota_us', ''), read('cpu', 'cpu.cfs_period_us', '')]
  return {
    memory: BigInt(read('memory', 'memory.limit_in_bytes', 'memory.max').replace('max', '-1')),
    quota,
    period,
    weight: read('cpu', 'cpu.shares', 'cpu.weight'),
    cpus: read('cpuset', 'cpuset.cpus', 'cpuset.cpus'),
  }
}

const resources = { memoryLimitInBytes: 64n * MIB, cpuPeriod: 100_000n, cpuQuota: 50_000n, cpuShares: 512n, cpusetCpus: '0' }

criSuite('resources', (cri) => {
  it('are enforced from the start, and visible in the status', async () => {
    await using pod = await cri.pod()
    const container = await pod.run({ linux: { resources } })
    const limits = await limitsOf(container)
    assert.equal(limits.memory, 64n * MIB)
    assert.equal(limits.quota, '50000')
    assert.equal(limits.period, '100000')
    assert.equal(limits.cpus, '0')
    if (!unified) assert.equal(limits.weight, '512')
    const seen = (await container.status()).resources?.linux
    assert.equal(seen?.memoryLimitInBytes, 64n * MIB)
    assert.equal(seen?.cpuQuota, 50_000n)
    assert.equal(seen?.cpuPeriod, 100_000n)
    assert.equal(seen?.cpuShares, 512n)
    assert.equal(seen?.cpusetCpus, '0')
  })

  it('with cpu_quota -1: none, as kubelet sends it for containers with CPUs of their own', async () => {
    await using pod = await cri.pod()
    const container = await pod.run({ linux: { resources: { ...resources, cpuQuota: -1n } } })
    const { quota, period } = await limitsOf(container)
    assert.equal(quota, NO_QUOTA)
    assert.equal(period, '100000')
  })

  it('with oom_score_adj', async () => {
    await using pod = await cri.pod()
    const container = await pod.run({ linux: { resources: { oomScoreAdj: 900n } } })
    assert.equal(await container.sh('cat /proc/1/oom_score_adj'), '900')
  })

  it('tolerate a huge page size that the machine does not have, asked for with 0', async () => {
    await using pod = await cri.pod()
    const hugepageLimits = [
      { pageSize: '2MB', limit: 0n },
      { pageSize: '1GB', limit: 0n },
    ]
    await pod.run({ linux: { resources: { hugepageLimits } } })
  })

  describe('UpdateContainerResources', () => {
    it('changes a running container at once; what is zero stays', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { resources } })
      await cri.runtime.updateContainerResources({
        containerId: container.id,
        linux: { memoryLimitInBytes: 128n * MIB, cpuQuota: 70_000n },
      })
      const limits = await limitsOf(container)
      assert.equal(limits.memory, 128n * MIB)
      assert.equal(limits.quota, '70000')
      assert.equal(limits.period, '100000')
      if (!unified) assert.equal(limits.weight, '512')
      const seen = (await container.status()).resources?.linux
      assert.equal(seen?.memoryLimitInBytes, 128n * MIB)
      assert.equal(seen?.cpuQuota, 70_000n)
      assert.equal(seen?.cpuShares, 512n)
    })

    it('changes one that is only created: it starts with the new values', async () => {
      await using pod = await cri.pod()
      const container = await pod.create({ linux: { resources } })
      await cri.runtime.updateContainerResources({ containerId: container.id, linux: { memoryLimitInBytes: 96n * MIB } })
      await container.start()
      const limits = await limitsOf(container)
      assert.equal(limits.memory, 96n * MIB)
      assert.equal(limits.quota, '50000')
    })

    it('shows them before the start', needs('createdUpdate'), async () => {
      await using pod = await cri.pod()
      const container = await pod.create({ linux: { resources } })
      await cri.runtime.updateContainerResources({ containerId: container.id, linux: { memoryLimitInBytes: 96n * MIB } })
      const status = await container.status()
      assert.equal(status.state, ContainerState.CONTAINER_CREATED)
      assert.equal(status.resources?.linux?.memoryLimitInBytes, 96n * MIB)
      assert.equal(status.resources?.linux?.cpuQuota, 50_000n)
    })

    it('is all or nothing', needs('updateAtomic'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { resources } })
      const change = { memoryLimitInBytes: 80n * MIB, cpusetCpus: '4000' }
      await assert.rejects(cri.runtime.updateContainerResources({ containerId: container.id, linux: change }))
      const limits = await limitsOf(container)
      assert.equal(limits.memory, 64n * MIB)
      assert.equal(limits.cpus, '0')
      assert.equal((await container.status()).resources?.linux?.memoryLimitInBytes, 64n * MIB)
    })

    it('gives back what was not limited when another limit fails', needs('updateAtomic'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const before = await limitsOf(container)
      const change = { memoryLimitInBytes: 80n * MIB, cpuQuota: 50_000n, cpuPeriod: 50_000n, cpuShares: 77n, cpusetCpus: '4000' }
      await failsWith('failed_precondition', cri.runtime.updateContainerResources({ containerId: container.id, linux: change }))
      assert.deepEqual(await limitsOf(container), before)
      // One that fails after the CPUs were set.
      const tooSmall = { cpusetCpus: '0', cpuShares: 77n, memoryLimitInBytes: 4096n }
      await failsWith('failed_precondition', cri.runtime.updateContainerResources({ containerId: container.id, linux: tooSmall }))
      assert.deepEqual(await limitsOf(container), before)
    })

    it('takes the quota away with -1', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { resources } })
      await cri.runtime.updateContainerResources({ containerId: container.id, linux: { cpuQuota: -1n, cpuShares: 300n } })
      const limits = await limitsOf(container)
      assert.equal(limits.quota, NO_QUOTA)
      if (!unified) assert.equal(limits.weight, '300')
      assert.equal((await container.status()).resources?.linux?.cpuQuota, -1n)
      await cri.runtime.updateContainerResources({ containerId: container.id, linux: { cpuShares: 400n } })
      assert.equal((await limitsOf(container)).quota, NO_QUOTA)
    })

    it('refuses a container that has ended', needs('updateEnded'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['true'] })
      await container.exited()
      await assert.rejects(cri.runtime.updateContainerResources({ containerId: container.id, linux: { cpuShares: 2n } }))
    })

    it('answers NotFound for an unknown id', async () => {
      await failsWith('not_found', cri.runtime.updateContainerResources({ containerId: UNKNOWN_ID, linux: { cpuShares: 2n } }))
    })
  })

  describe('UpdatePodSandboxResources', needs('updatePodResources'), () => {
    it('takes the sums of a pod, and changes no cgroup', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { resources } })
      const request = { podSandboxId: pod.id, overhead: { cpuShares: 2n }, resources: { memoryLimitInBytes: 1n * MIB } }
      await cri.runtime.updatePodSandboxResources(request)
      assert.equal((await limitsOf(container)).memory, 64n * MIB)
    })

    it('answers NotFound for an unknown id', async () => {
      await failsWith('not_found', cri.runtime.updatePodSandboxResources({ podSandboxId: UNKNOWN_ID }))
    })
  })
})
