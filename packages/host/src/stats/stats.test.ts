import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseInterfaces } from './interfaces.ts'
import { createStats } from './stats.ts'

function fakeTree(files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'coracle-stats-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true }) }
}

const pressure = 'some avg10=1.50 avg60=0.25 avg300=0.10 total=2000\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=1000\n'

const v2 = {
  'cgroup.controllers': 'cpu io memory pids hugetlb\n',
  'pod/c/cpu.stat': 'usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 9\nnr_throttled 2\nthrottled_usec 70\n',
  'pod/c/cpu.max': '20000 100000\n',
  'pod/c/cpu.weight': '39\n',
  'pod/c/cpu.pressure': pressure,
  'pod/c/memory.pressure': pressure,
  'pod/c/io.pressure': pressure,
  'pod/c/memory.current': '10000\n',
  'pod/c/memory.peak': '12000\n',
  'pod/c/memory.max': '65536\n',
  'pod/c/memory.low': '0\n',
  'pod/c/memory.swap.current': '512\n',
  'pod/c/memory.swap.max': 'max\n',
  'pod/c/memory.events': 'low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n',
  'pod/c/memory.stat': 'anon 4000\nfile 5000\nkernel 700\nfile_mapped 300\ninactive_file 1500\npgfault 21\npgmajfault 3\n',
  'pod/c/pids.current': '5\n',
  'pod/c/pids.max': 'max\n',
  'pod/c/hugetlb.2MB.current': '2097152\n',
  'pod/c/io.stat': '253:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n',
} as const

test('usage() and details() of cgroup v2', () => {
  using tree = fakeTree(v2)
  const stats = createStats(tree.root, tree.root)
  const usage = stats.usage('/pod/c')
  assert.equal(usage?.cpuNs, 3_000_000)
  assert.equal(usage?.tasks, 5)
  assert.deepEqual(usage?.memory, {
    usageBytes: 10_000,
    workingSetBytes: 8500,
    rssBytes: 4000,
    cacheBytes: 5000,
    mappedFileBytes: 300,
    pageFaults: 21,
    majorPageFaults: 3,
    swapBytes: 512,
    limitBytes: 65_536,
    swapLimitBytes: undefined,
  })
  assert.deepEqual(usage?.cpuPressure, {
    some: { avg10: 1.5, avg60: 0.25, avg300: 0.1, totalNs: 2_000_000 },
    full: { avg10: 0.5, avg60: 0, avg300: 0, totalNs: 1_000_000 },
  })
  assert.equal(usage?.ioPressure?.full.totalNs, 1_000_000)
  const { devices, hugePages, ...details } = stats.details('/pod/c')
  assert.deepEqual(details, {
    cpuUserNs: 2_000_000,
    cpuSystemNs: 1_000_000,
    periods: 9,
    throttledPeriods: 2,
    throttledNs: 70_000,
    cpuPeriodUs: 100_000,
    cpuQuotaUs: 20_000,
    cpuShares: 998,
    memoryFailures: 4,
    memoryMaxUsageBytes: 12_000,
    kernelBytes: 700,
    softLimitBytes: 0,
    tasksMax: 0,
    oomKills: 1,
  })
  assert.deepEqual(hugePages, [{ pageSize: '2MB', usageBytes: 2_097_152, maxUsageBytes: undefined }])
  assert.deepEqual(
    devices.map(({ device: _, ...counters }) => counters),
    [{ major: 253, minor: 0, readBytes: 4096, writeBytes: 8192, reads: 1, writes: 2 }],
  )
})

const v1 = {
  'cpuacct/cgroup.procs': '',
  'cpu/cgroup.procs': '',
  'memory/cgroup.procs': '',
  'pids/cgroup.procs': '',
  'blkio/cgroup.procs': '',
  'unified/cgroup.procs': '',
  'unified/cgroup.controllers': '',
  'unified/c/cpu.pressure': pressure,
  'cpuacct/c/cpuacct.usage': '123456789012\n',
  'cpuacct/c/cpuacct.usage_user': '100\n',
  'cpuacct/c/cpuacct.usage_sys': '50\n',
  'cpu/c/cpu.cfs_period_us': '100000\n',
  'cpu/c/cpu.cfs_quota_us': '-1\n',
  'cpu/c/cpu.shares': '512\n',
  'cpu/c/cpu.stat': 'nr_periods 1\nnr_throttled 0\nthrottled_time 900\n',
  'memory/c/memory.usage_in_bytes': '1000\n',
  'memory/c/memory.limit_in_bytes': '5000\n',
  'memory/c/memory.memsw.limit_in_bytes': '7000\n',
  'memory/c/memory.soft_limit_in_bytes': '9223372036854771712\n',
  'memory/c/memory.failcnt': '6\n',
  'memory/c/memory.max_usage_in_bytes': '1200\n',
  'memory/c/memory.kmem.usage_in_bytes': '70\n',
  'memory/c/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
  'memory/c/memory.stat': 'rss 1\ntotal_rss 400\ntotal_cache 500\ntotal_inactive_file 1500\ntotal_swap 8\ntotal_pgfault 5\n',
  'pids/c/pids.current': '2\n',
  'pids/c/pids.max': '99\n',
  'blkio/c/blkio.throttle.io_service_bytes_recursive': '8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n',
  'blkio/c/blkio.throttle.io_serviced_recursive': '8:0 Read 1\n8:0 Write 2\nTotal 3\n',
} as const

test('usage() and details() of cgroup v1, with pressure from the unified hierarchy', () => {
  using tree = fakeTree(v1)
  const stats = createStats(tree.root, tree.root)
  const usage = stats.usage('/c')
  assert.equal(usage?.cpuNs, 123_456_789_012)
  assert.equal(usage?.tasks, 2)
  assert.equal(usage?.memory?.workingSetBytes, 0)
  assert.equal(usage?.memory?.rssBytes, 400)
  assert.equal(usage?.memory?.limitBytes, 5000)
  assert.equal(usage?.memory?.swapLimitBytes, 2000)
  assert.equal(usage?.cpuPressure?.some.totalNs, 2_000_000)
  assert.equal(usage?.ioPressure, undefined)
  const details = stats.details('/c')
  assert.equal(details.cpuQuotaUs, 0)
  assert.equal(details.softLimitBytes, 0)
  assert.equal(details.oomKills, 2)
  assert.equal(details.tasksMax, 99)
  assert.deepEqual(
    details.devices.map(({ readBytes, writeBytes, reads, writes }) => [readBytes, writeBytes, reads, writes]),
    [[10, 20, 1, 2]],
  )
})

test('usage() of a cgroup that does not exist is undefined', () => {
  for (const files of [v1, v2]) {
    using tree = fakeTree(files)
    assert.equal(createStats(tree.root).usage('/gone'), undefined)
    assert.equal(createStats(tree.root).details('/gone').oomKills, 0)
  }
})

test('parseInterfaces() leaves out the loopback, and takes alias names', () => {
  const text = [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
    '    lo: 64861493705 4371944    0    0    0     0          0         0 64861493705 4371944    0    0    0     0       0          0',
    ' eth0:1:   62346     865    1    2    0     0          0       794    23154     190    3    8    0     0       0          0',
  ]
  assert.deepEqual(parseInterfaces(text.join('\n')), [
    {
      name: 'eth0:1',
      ...{ rxBytes: 62_346, rxPackets: 865, rxErrors: 1, rxDropped: 2 },
      ...{ txBytes: 23_154, txPackets: 190, txErrors: 3, txDropped: 8 },
    },
  ])
})
