// Limits: as requested, as the cgroup says, as seen inside; the pod's own cgroup untouched; changes all or nothing.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { failsWith } from '../cri/expect.ts'
import { needs } from './differences.ts'
import { type Bed, type ContainerInit, isolationSuite, limitOf } from './suite.ts'

type Resources = NonNullable<NonNullable<ContainerInit['linux']>['resources']>

const MIB = 1 << 20
const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers')

const limited = (resources: Resources, rest: ContainerInit = {}): ContainerInit => ({
  command: ['sleep', '10000'],
  ...rest,
  linux: { securityContext: { namespaceOptions: { pid: 1 } }, resources } as ContainerInit['linux'] & object,
})

/** What one request means in the files of v1 and of v2. */
const rows: readonly (readonly [string, Resources, Readonly<Record<string, string>>, Readonly<Record<string, string>>])[] = [
  [
    'memory',
    { memoryLimitInBytes: BigInt(64 * MIB) },
    { 'memory.limit_in_bytes': String(64 * MIB) },
    { 'memory.max': String(64 * MIB) },
  ],
  [
    'cpu',
    { cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n },
    { 'cpu.shares': '512', 'cpu.cfs_quota_us': '50000', 'cpu.cfs_period_us': '100000' },
    { 'cpu.max': '50000 100000' },
  ],
  ['cpusets', { cpusetCpus: '0', cpusetMems: '0' }, { 'cpuset.cpus': '0', 'cpuset.mems': '0' }, { 'cpuset.cpus': '0' }],
]

isolationSuite('limits', (bed) => {
  for (const [name, resources, v1, v2] of rows)
    test(`${name}: the request is what the cgroup says`, async () => {
      await using pod = await bed.pod()
      const container = await pod.run(limited(resources))
      const found = await bed.inspect(container)
      for (const [file, value] of Object.entries(isV2 ? v2 : v1)) {
        assert.equal(limitOf(found, file), value, file)
        if (bed.sandboxed) continue
        const controller = file.split('.')[0] ?? ''
        const inside = isV2 ? `/sys/fs/cgroup/${file}` : `/sys/fs/cgroup/${controller}/${file}`
        assert.equal(await container.sh(`cat ${inside}`), value, inside)
      }
      const { resources: told } = await container.status()
      for (const [field, value] of Object.entries(resources))
        assert.equal(told?.linux?.[field as 'memoryLimitInBytes'], value, field)
    })

  test('the pod’s cgroup keeps what kubelet gave it', async () => {
    const parent = `/isolation-${process.pid}-${bed.handler}`
    await using pod = await bed.pod({ linux: { cgroupParent: parent } })
    const memory = isV2 ? `/sys/fs/cgroup${parent}/memory.max` : `/sys/fs/cgroup/memory${parent}/memory.limit_in_bytes`
    const before = readFileSync(memory, 'latin1')
    await pod.run(limited({ memoryLimitInBytes: BigInt(32 * MIB), cpuShares: 100n }))
    assert.equal(readFileSync(memory, 'latin1'), before)
  })

  test('H-45 H-46: no limits asked, none set', async () => {
    await using pod = await bed.pod()
    const found = await bed.inspect(await pod.run(limited({})))
    const unlimited = isV2 ? { 'memory.max': 'max', 'cpu.max': 'max 100000' } : { 'cpu.cfs_quota_us': '-1', 'pids.max': 'max' }
    for (const [file, value] of Object.entries(unlimited)) assert.equal(limitOf(found, file), value, file)
  })

  test('H-44: oom_score_adj', async () => {
    await using pod = await bed.pod()
    const container = await pod.run(limited({ oomScoreAdj: 321n }))
    assert.equal((await bed.inspect(container)).oomScoreAdj, 321)
    if (!bed.sandboxed) assert.equal(await container.sh('cat /proc/1/oom_score_adj /proc/self/oom_score_adj'), '321\n321')
  })

  test('hugepages', {
    skip: existsSync('/sys/kernel/mm/hugepages/hugepages-2048kB') ? false : 'no huge pages of 2 MiB here',
  }, async () => {
    await using pod = await bed.pod()
    const container = await pod.run(limited({ hugepageLimits: [{ pageSize: '2MB', limit: BigInt(4 * MIB) }] }))
    assert.equal(limitOf(await bed.inspect(container), isV2 ? 'hugetlb.2MB.max' : 'hugetlb.2MB.limit_in_bytes'), String(4 * MIB))
  })

  test('unified values are refused where there is no unified hierarchy', {
    skip: isV2 ? 'this machine has one' : false,
  }, async () => {
    await using pod = await bed.pod()
    await failsWith(
      ['invalid_argument', 'failed_precondition'],
      pod.create(limited({ unified: { 'memory.high': '1' } })),
      /unified/,
    )
  })

  test('a change in place, and one that fails leaves all as it was', needs(bed.handler, 'update'), () => changes(bed))

  test('a change in place is refused', { skip: bed.sandboxed ? false : 'this handler can' }, async () => {
    await using pod = await bed.pod()
    const container = await pod.run(limited({ memoryLimitInBytes: BigInt(64 * MIB) }))
    const change = { containerId: container.id, linux: { memoryLimitInBytes: BigInt(96 * MIB) } }
    await failsWith('unimplemented', bed.cri.runtime.updateContainerResources(change), /no command to change/)
    assert.equal((await container.status()).resources?.linux?.memoryLimitInBytes, BigInt(64 * MIB))
  })

  test('devices: only those of the list', needs(bed.handler, 'devices'), async () => {
    await using pod = await bed.pod()
    const device = { hostPath: '/dev/loop-control', containerPath: '/dev/mine', permissions: 'r' }
    const container = await pod.run({
      ...limited({}),
      ...(existsSync(device.hostPath) ? { devices: [device] } : {}),
    })
    const { devices } = await bed.inspect(container)
    const rules = devices?.rules ?? []
    if (isV2) assert.ok((devices?.programs ?? 0) > 0)
    else assert.ok(!rules.some((rule) => rule.startsWith('a ') || /^[bc] \*:\* r?w/.test(rule)), rules.join('; '))
    if (!existsSync(device.hostPath)) return
    assert.equal(await container.sh('[ -c /dev/mine ] && head -c 0 /dev/mine && echo readable'), 'readable')
    assert.match((await container.exec(['sh', '-c', ': > /dev/mine'])).stderr, /not permitted|denied/)
  })
})

async function changes(bed: Bed): Promise<void> {
  await using pod = await bed.pod()
  const container = await pod.run(limited({ memoryLimitInBytes: BigInt(64 * MIB), cpuShares: 256n }))
  const memoryFile = isV2 ? 'memory.max' : 'memory.limit_in_bytes'
  const update = (linux: Resources) => bed.cri.runtime.updateContainerResources({ containerId: container.id, linux })
  await update({ memoryLimitInBytes: BigInt(96 * MIB), cpuQuota: 20_000n, cpuPeriod: 100_000n })
  const changed = await bed.inspect(container)
  assert.equal(limitOf(changed, memoryFile), String(96 * MIB))
  if (!isV2) assert.deepEqual([limitOf(changed, 'cpu.shares'), limitOf(changed, 'cpu.cfs_quota_us')], ['256', '20000'])
  await failsWith(['invalid_argument', 'failed_precondition', 'internal'], update({ cpuShares: 512n, cpusetCpus: '4000' }))
  const kept = await bed.inspect(container)
  assert.equal(limitOf(kept, memoryFile), String(96 * MIB))
  if (!isV2) assert.equal(limitOf(kept, 'cpu.shares'), '256')
}
