import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ContainerInit, container, host, input, pod, podFacts } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { cgroupsPath } from './cgroup-path.ts'
import { mergeResources, oomScoreAdj, type ResourceHost, toLinuxResources } from './resources.ts'
import { rlimits } from './rlimits.ts'
import { createSpec } from './spec.ts'

type ResourcesInit = NonNullable<NonNullable<ContainerInit['linux']>['resources']>
const cri = (resources: ResourcesInit) => {
  const made = container({ linux: { resources } }).linux?.resources
  assert.ok(made)
  return made
}
const to = (resources: ResourcesInit, on: Partial<ResourceHost> = {}) => toLinuxResources(cri(resources), { ...host, ...on })
const v2 = { cgroupMode: 'v2' as const, controllers: new Set(['cpu', 'cpuset', 'memory', 'pids', 'hugetlb', 'io']) }

describe('toLinuxResources', () => {
  test('nothing asked, nothing set', () => {
    assert.deepEqual(to({}), {})
    assert.deepEqual(toLinuxResources(undefined, host), {})
  })
  test('cpu', () => {
    assert.deepEqual(to({ cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n, cpusetCpus: '0-1', cpusetMems: '0' }), {
      cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0-1', mems: '0' },
    })
    assert.deepEqual(to({ cpuQuota: -1n }), { cpu: { quota: -1 } })
    assert.deepEqual(to({ cpuShares: 1n }), { cpu: { shares: 2 } })
    assert.deepEqual(to({ cpuShares: 10n ** 9n }), { cpu: { shares: 262144 } })
  })
  test('memory: no swap unless asked for, where swap is accounted', () => {
    assert.deepEqual(to({ memoryLimitInBytes: 100n }), { memory: { limit: 100, swap: 100 } })
    assert.deepEqual(to({ memoryLimitInBytes: 100n, memorySwapLimitInBytes: 300n }), { memory: { limit: 100, swap: 300 } })
    assert.deepEqual(to({ memoryLimitInBytes: 100n }, { swapAccounting: false }), { memory: { limit: 100 } })
    const more = { memoryLimitInBytes: 100n, memorySwapLimitInBytes: 200n }
    throws(() => to(more, { swapAccounting: false }), 'failed_precondition', 'memory_swap_limit_in_bytes')
    assert.deepEqual(to({ memoryLimitInBytes: -1n }), { memory: { limit: -1, swap: -1 } })
  })
  test('huge pages: sizes this node lacks are left out, all of them without the controller', () => {
    const hugepageLimits = [
      { pageSize: '2MB', limit: 4n << 20n },
      { pageSize: '1GB', limit: 0n },
    ]
    assert.deepEqual(to({ hugepageLimits }), { hugepageLimits: [{ pageSize: '2MB', limit: 4 << 20 }] })
    assert.deepEqual(to({ hugepageLimits }, { controllers: new Set() }), {})
  })
  test('unified on v2 only, controllers that are there only', () => {
    const unified = { 'memory.high': '1000', 'memory.oom.group': '1' }
    assert.deepEqual(to({ unified }, v2), { unified })
    throws(() => to({ unified }), 'failed_precondition', 'cgroup v2')
    throws(() => to({ unified: { 'rdma.max': '1' } }, v2), 'failed_precondition', 'rdma')
    for (const key of ['cgroup.procs', 'memory', '../memory.max', 'memory.x/y', '', 'Memory.max'])
      throws(() => to({ unified: { [key]: '1' } }, v2), 'invalid_argument', 'unified')
  })
  test('a missing controller is a refusal', () => {
    const bare = { controllers: new Set<string>() }
    throws(() => to({ memoryLimitInBytes: 1n }, bare), 'failed_precondition', 'memory')
    throws(() => to({ cpuShares: 2n }, bare), 'failed_precondition', 'cpu')
    throws(() => to({ cpusetCpus: '0' }, bare), 'failed_precondition', 'cpuset')
  })
  const bad: readonly (readonly [ResourcesInit, string])[] = [
    [{ cpuShares: -1n }, 'cpu_shares'],
    [{ cpuQuota: 999n }, 'cpu_quota'],
    [{ cpuQuota: -2n }, 'cpu_quota'],
    [{ cpuPeriod: 999n }, 'cpu_period'],
    [{ cpuPeriod: 1_000_001n }, 'cpu_period'],
    [{ memoryLimitInBytes: -2n }, 'memory_limit_in_bytes'],
    [{ memoryLimitInBytes: 2n ** 53n }, 'memory_limit_in_bytes'],
    [{ memoryLimitInBytes: 10n, memorySwapLimitInBytes: 9n }, 'memory_swap_limit_in_bytes'],
    [{ oomScoreAdj: 1001n }, 'oom_score_adj'],
    [{ oomScoreAdj: -1001n }, 'oom_score_adj'],
    [{ cpusetCpus: '0-' }, 'cpuset_cpus'],
    [{ cpusetMems: '0\n1' }, 'cpuset_mems'],
    [{ hugepageLimits: [{ pageSize: '2mb', limit: 0n }] }, 'hugepage_limits'],
  ]
  for (const [resources, field] of bad)
    test(`I8: ${field} of ${Object.values(resources)[0]} is refused`, () => {
      throws(() => to(resources), 'invalid_argument', `config.linux.resources.${field}`)
    })
})

describe('mergeResources', () => {
  const current = cri({
    cpuShares: 100n,
    memoryLimitInBytes: 50n,
    memorySwapLimitInBytes: 50n,
    unified: { 'memory.high': '1' },
    cpusetCpus: '0',
  })
  test('only what is not zero changes', () => {
    const merged = mergeResources(current, cri({ cpuShares: 200n }))
    assert.deepEqual({ ...merged, cpuShares: 100n }, current)
    assert.equal(merged.cpuShares, 200n)
  })
  test('a swap limit that said "no swap" follows the memory limit', () => {
    const merged = mergeResources(current, cri({ memoryLimitInBytes: 80n }))
    assert.deepEqual([merged.memoryLimitInBytes, merged.memorySwapLimitInBytes], [80n, 80n])
  })
  test('unified and huge pages merge by name', () => {
    const merged = mergeResources(
      current,
      cri({ unified: { 'memory.max': '2' }, hugepageLimits: [{ pageSize: '2MB', limit: 1n }] }),
    )
    assert.deepEqual(merged.unified, { 'memory.high': '1', 'memory.max': '2' })
    const again = mergeResources(merged, cri({ hugepageLimits: [{ pageSize: '2MB', limit: 2n }] }))
    assert.deepEqual(
      again.hugepageLimits.map(({ limit }) => limit),
      [2n],
    )
  })
  test('all or nothing: one bad field refuses all and leaves the current as it was', () => {
    const before = JSON.stringify(current, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
    throws(() => mergeResources(current, cri({ cpuShares: 5n, cpuPeriod: 1n })), 'invalid_argument', 'cpu_period')
    throws(
      () => mergeResources(cri({ memorySwapLimitInBytes: 60n, memoryLimitInBytes: 50n }), cri({ memoryLimitInBytes: 70n })),
      'invalid_argument',
      'memory_swap',
    )
    assert.equal(
      JSON.stringify(current, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
      before,
    )
  })
  test('without a current one the update is it', () => {
    assert.equal(mergeResources(undefined, current), current)
  })
})

describe('H-44: oom_score_adj', () => {
  const score = (value: bigint, lowerOomScore: boolean, own: number) =>
    oomScoreAdj(cri({ oomScoreAdj: value }), { lowerOomScore, oomScoreAdj: own })
  test('as asked where we may, else not below our own, and that is told', () => {
    assert.deepEqual(score(-997n, true, 0), { value: -997, warnings: [] })
    assert.deepEqual(score(500n, false, 0), { value: 500, warnings: [] })
    const limited = score(-997n, false, 100)
    assert.equal(limited.value, 100)
    assert.equal(limited.warnings.length, 1)
    assert.equal(oomScoreAdj(undefined, { lowerOomScore: false, oomScoreAdj: 5 }).value, 5)
  })
})

describe('cgroupsPath', () => {
  test('CVE-2025-47291: always below the pod’s', () => {
    assert.equal(cgroupsPath('/kubepods/pod1', 'c1', { cgroupDriver: 'cgroupfs' }), '/kubepods/pod1/c1')
    assert.equal(cgroupsPath('kubepods/pod1/', 'c1', { cgroupDriver: 'cgroupfs' }), '/kubepods/pod1/c1')
    assert.equal(cgroupsPath('/', 'c1', { cgroupDriver: 'cgroupfs' }), '/c1')
    assert.equal(cgroupsPath('/pod1', 'c1', { cgroupDriver: 'cgroupfs', scopePrefix: 'crio' }), '/pod1/crio-c1')
    assert.equal(cgroupsPath('pod1.slice', 'c1', { cgroupDriver: 'systemd', scopePrefix: 'crio' }), 'pod1.slice:crio:c1')
    assert.equal(cgroupsPath('kubepods-pod1.slice', 'c1', { cgroupDriver: 'systemd' }), 'kubepods-pod1.slice:coracle:c1')
    assert.equal(
      cgroupsPath('/kubepods.slice/kubepods-pod1.slice', 'c1', { cgroupDriver: 'systemd' }),
      'kubepods-pod1.slice:coracle:c1',
    )
  })
})

describe('H-43: rlimits', () => {
  test('descriptors, within our own hard limit', () => {
    assert.deepEqual(rlimits({ soft: 1024, hard: 20_000 }), [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 20_000 }])
    assert.deepEqual(rlimits({ soft: 512, hard: 512 }), [{ type: 'RLIMIT_NOFILE', soft: 512, hard: 512 }])
    assert.equal(rlimits({ soft: 1024, hard: 2 ** 30 })[0]?.hard, 1_048_576)
  })
})

describe('ulimits by annotation', () => {
  const limits = (annotations: Record<string, string>, allowedAnnotations = ['ulimit.coracle/*'], on = {}) =>
    createSpec(input({ pod: podFacts({ config: pod({ annotations }) }), allowedAnnotations, host: { ...host, ...on } })).spec
      .process.rlimits
  test('only when allowed, for all containers or one by name', () => {
    const asked = {
      'ulimit.coracle/nproc': '50',
      'ulimit.coracle/nofile': '100:200',
      'ulimit.coracle/nofile.main': '150',
      'ulimit.coracle/core.other': '0',
    }
    assert.deepEqual(limits(asked, []), rlimits(host.nofile))
    assert.deepEqual(limits(asked), [
      { type: 'RLIMIT_NOFILE', soft: 150, hard: 150 },
      { type: 'RLIMIT_NPROC', soft: 50, hard: 50 },
    ])
  })
  test('bad values and more files than we have ourselves are refused', () => {
    for (const value of ['', 'x', '-1', '5:4', '1:2:3', ' 1'])
      throws(() => limits({ 'ulimit.coracle/core': value }), 'invalid_argument', 'ulimit.coracle/core')
    throws(() => limits({ 'ulimit.coracle/nofile': '20001' }), 'failed_precondition', '20000')
    assert.ok(limits({ 'ulimit.coracle/nofile': '20001' }, undefined, { capabilities: ['CAP_SYS_RESOURCE'] }))
  })
})

describe('createSpec', () => {
  test('resources and device rules stand side by side', () => {
    const config = container({ linux: { resources: { cpuShares: 10n } } })
    const { resources } = createSpec(input({ config })).spec.linux
    assert.deepEqual(resources, { cpu: { shares: 10 }, devices: [{ allow: false, access: 'rwm' }] })
  })
  test('the result is plain JSON', () => {
    const { spec } = createSpec(input())
    assert.deepEqual(JSON.parse(JSON.stringify(spec)), spec)
  })
})
