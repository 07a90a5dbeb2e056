// Limits as the kernel has them, on whatever version of cgroups this is; what cannot be enforced is refused.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { failsWith } from '../cri/expect.ts'
import { type ContainerUnderTest, type Cri, criSuite } from '../cri/suite.ts'

const MIB = 1n << 20n
const unified = existsSync('/sys/fs/cgroup/cgroup.controllers')

/** The cgroup directory of a container's controller, as its own processes are told. */
async function cgroupOf(container: ContainerUnderTest, controller: string): Promise<string> {
  const lines = (await container.sh('cat /proc/self/cgroup')).split('\n')
  const line = lines.find((text) => (unified ? text.startsWith('0::') : text.split(':')[1]?.split(',').includes(controller)))
  const path = line?.split(':').slice(2).join(':') ?? ''
  return unified ? `/sys/fs/cgroup${path}` : `/sys/fs/cgroup/${controller}${path}`
}

const read = async (container: ContainerUnderTest, controller: string, file: string): Promise<string> =>
  readFileSync(`${await cgroupOf(container, controller)}/${file}`, 'utf8').trim()

/** A pod cgroup with limits of its own, as kubelet makes it. */
function podCgroup(cri: Cri) {
  const path = `/${cri.unique(`test-${process.pid}-`)}`
  const limits = {
    memory: [`memory.limit_in_bytes`, `${256n * MIB}`],
    pids: ['pids.max', '40'],
    cpu: ['cpu.shares', '700'],
  } as const
  const directory = (controller: string) => `/sys/fs/cgroup/${controller}${path}`
  const snapshot = () =>
    Object.entries(limits).map(([controller, [file]]) => readFileSync(`${directory(controller)}/${file}`, 'utf8'))
  for (const [controller, [file, value]] of Object.entries(limits)) {
    mkdirSync(directory(controller))
    writeFileSync(`${directory(controller)}/${file}`, value)
  }
  return {
    path,
    snapshot,
    [Symbol.dispose]() {
      for (const controller of Object.keys(limits)) rmdirSync(directory(controller))
    },
  }
}

const config = ['crun', 'runc'].map((handler) => `[runtimes.${handler}]\nallowed_annotations = ["ulimit.coracle/*"]\n`).join('')

criSuite(
  'resources',
  (cri) => {
    for (const handler of ['crun', 'runc'])
      describe(handler, () => {
        it('memory: without a swap limit no swap; with one the sum of both', { skip: unified }, async () => {
          await using pod = await cri.pod({}, handler)
          const plain = await pod.run({ linux: { resources: { memoryLimitInBytes: 64n * MIB } } })
          const swap = await pod.run({
            linux: { resources: { memoryLimitInBytes: 64n * MIB, memorySwapLimitInBytes: 96n * MIB } },
          })
          const limits = async (container: ContainerUnderTest) =>
            Promise.all(['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'].map((file) => read(container, 'memory', file)))
          assert.deepEqual(await limits(plain), [`${64n * MIB}`, `${64n * MIB}`])
          assert.deepEqual(await limits(swap), [`${64n * MIB}`, `${96n * MIB}`])
        })

        it('cpusets of processors and memory nodes, cpu time, huge pages of each size', { skip: unified }, async () => {
          await using pod = await cri.pod({}, handler)
          const hugepageLimits = [
            { pageSize: '2MB', limit: 4n * MIB },
            { pageSize: '1GB', limit: 0n },
            { pageSize: '64KB', limit: 0n },
          ]
          const container = await pod.run({
            linux: {
              resources: {
                cpusetCpus: '0',
                cpusetMems: '0',
                cpuShares: 300n,
                cpuPeriod: 50_000n,
                cpuQuota: 25_000n,
                hugepageLimits,
              },
            },
          })
          const found = await Promise.all([
            ...(['cpuset.cpus', 'cpuset.mems'] as const).map((file) => read(container, 'cpuset', file)),
            ...(['cpu.shares', 'cpu.cfs_period_us', 'cpu.cfs_quota_us'] as const).map((file) => read(container, 'cpu', file)),
            ...(['hugetlb.2MB.limit_in_bytes', 'hugetlb.1GB.limit_in_bytes'] as const).map((file) =>
              read(container, 'hugetlb', file),
            ),
          ])
          assert.deepEqual(found, ['0', '0', '300', '50000', '25000', `${4n * MIB}`, '0'])
        })

        it("the pod's own cgroup keeps its limits, and binds", { skip: unified }, async () => {
          using parent = podCgroup(cri)
          const before = parent.snapshot()
          {
            await using pod = await cri.pod({ linux: { cgroupParent: parent.path } }, handler)
            const container = await pod.run({ linux: { resources: { memoryLimitInBytes: 64n * MIB, cpuShares: 2n } } })
            assert.ok((await cgroupOf(container, 'memory')).includes(parent.path))
            assert.deepEqual(parent.snapshot(), before)
            // 40 processes for the whole pod.
            const script = 'for i in $(seq 60); do sleep 100 & done; true'
            assert.match((await container.exec(['sh', '-c', script])).stderr, /fork/)
            await cri.runtime.updateContainerResources({ containerId: container.id, linux: { memoryLimitInBytes: 96n * MIB } })
            assert.deepEqual(parent.snapshot(), before)
          }
          assert.deepEqual(parent.snapshot(), before, 'kubelet made it, kubelet removes it')
        })

        it('a resize is all or nothing, also when the kernel refuses it in the middle', { skip: unified }, async () => {
          await using pod = await cri.pod({}, handler)
          const resources = { memoryLimitInBytes: 64n * MIB, cpuQuota: 20_000n, cpuPeriod: 100_000n, oomScoreAdj: 300n }
          const container = await pod.run({ linux: { resources } })
          const change = { cpuQuota: 30_000n, memoryLimitInBytes: 128n * MIB, cpusetCpus: '900', oomScoreAdj: 400n }
          await assert.rejects(cri.runtime.updateContainerResources({ containerId: container.id, linux: change }))
          assert.equal(await read(container, 'memory', 'memory.limit_in_bytes'), `${64n * MIB}`)
          assert.equal(await read(container, 'cpu', 'cpu.cfs_quota_us'), '20000')
          assert.equal(await container.sh('cat /proc/1/oom_score_adj'), '300')
          const seen = (await container.status()).resources?.linux
          assert.deepEqual([seen?.memoryLimitInBytes, seen?.cpuQuota, seen?.oomScoreAdj], [64n * MIB, 20_000n, 300n])
          // Less than is in use.
          await container.sh('dd if=/dev/zero of=/dev/shm/ballast bs=1M count=40 2>/dev/null')
          await assert.rejects(
            cri.runtime.updateContainerResources({
              containerId: container.id,
              linux: { memoryLimitInBytes: 8n * MIB, cpuQuota: 30_000n },
            }),
          )
          assert.equal(await read(container, 'memory', 'memory.limit_in_bytes'), `${64n * MIB}`)
          assert.equal(await read(container, 'cpu', 'cpu.cfs_quota_us'), '20000')
        })

        it('oom_score_adj changes in what runs, and in what is started later', async () => {
          await using pod = await cri.pod({}, handler)
          const container = await pod.run({
            command: ['sh', '-c', 'sleep 10000 & wait'],
            linux: { resources: { oomScoreAdj: 900n } },
          })
          // Of an exec it is set just after its start where the runtime does not do it.
          const settled = (score: number) => `until grep -q '^${score}$' /proc/$$/oom_score_adj; do sleep 0.1; done`
          await container.sh(settled(900))
          await cri.runtime.updateContainerResources({ containerId: container.id, linux: { oomScoreAdj: 500n } })
          const scores = await container.sh(
            'sleep 0.1; cat /proc/1/oom_score_adj /proc/self/oom_score_adj /proc/[0-9]*/oom_score_adj',
          )
          assert.deepEqual([...new Set(scores.split('\n'))], ['500'])
          assert.equal((await container.status()).resources?.linux?.oomScoreAdj, 500n)
        })

        it('limits of setrlimit by annotations that the operator allows', async () => {
          const annotations = { 'ulimit.coracle/nofile': '512:600', 'ulimit.coracle/core': '0' }
          await using pod = await cri.pod({ annotations }, handler)
          const container = await pod.run()
          assert.match(await container.sh('cat /proc/1/limits'), /^Max open files +512 +600 /m)
          assert.match(await container.sh('cat /proc/self/limits'), /^Max core file size +0 +0 /m)
          await failsWith(
            'invalid_argument',
            pod.create({ annotations: { 'ulimit.coracle/nofile': 'many' } }),
            /ulimit\.coracle\/nofile/,
          )
        })
      })

    it('oom_score_adj is never below our own', async () => {
      const own = readFileSync(`/proc/${cri.node.pid()}/oom_score_adj`, 'utf8').trim()
      const mayLower = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync(`/proc/${cri.node.pid()}/status`, 'utf8'))
      const SYS_RESOURCE = 24n
      const may = ((BigInt(`0x${mayLower?.[1]}`) >> SYS_RESOURCE) & 1n) === 1n
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { resources: { oomScoreAdj: -998n } } })
      assert.equal(await container.sh('cat /proc/1/oom_score_adj'), may ? '-998' : own)
    })

    it('unified is refused where there is no cgroup v2, with the reason', { skip: unified }, async () => {
      await using pod = await cri.pod()
      const create = pod.create({ linux: { resources: { unified: { 'memory.high': '100000000' } } } })
      await failsWith('failed_precondition', create, /unified cannot be enforced: this node is not on cgroup v2/)
      const container = await pod.run()
      const update = cri.runtime.updateContainerResources({
        containerId: container.id,
        linux: { unified: { 'memory.high': '1' } },
      })
      await failsWith('failed_precondition', update, /not on cgroup v2/)
    })

    it('sysctls of the pod are there, those of the node are refused', async () => {
      await using pod = await cri.pod({ linux: { sysctls: { 'net.core.somaxconn': '77', 'kernel.msgmax': '9999' } } })
      const container = await pod.run()
      assert.equal(await container.sh('cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax'), '77\n9999')
      const refused = cri.pod({ linux: { sysctls: { 'kernel.core_pattern': '|/evil' } } })
      await failsWith('invalid_argument', refused, /kernel\.core_pattern" is not namespaced/)
    })
  },
  { config },
)
