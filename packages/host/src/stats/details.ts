// What the metrics need beside the usage: throttling, limits, failures, huge pages.
import { readdirSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import type { Hierarchy } from '../cgroup/layout.ts'
import { readDevices } from './block-io.ts'
import type { CgroupDetails, HugePages } from './door.ts'
import { limitOf } from './memory.ts'
import { flatKeyed, readNumber, readSmall } from './read-small.ts'

/** The directories of one cgroup by controller; undefined where the controller is not there. */
export type Directories = (controller: string) => { readonly hierarchy: Hierarchy; readonly path: string } | undefined

type Cpu = Pick<
  CgroupDetails,
  'cpuUserNs' | 'cpuSystemNs' | 'periods' | 'throttledPeriods' | 'throttledNs' | 'cpuPeriodUs' | 'cpuQuotaUs' | 'cpuShares'
>
type Memory = Pick<CgroupDetails, 'memoryFailures' | 'memoryMaxUsageBytes' | 'kernelBytes' | 'softLimitBytes' | 'oomKills'>

export function readDetails(directories: Directories): CgroupDetails {
  const pids = directories('pids')
  const hugetlb = directories('hugetlb')
  const io = directories('blkio') ?? directories('io')
  return {
    ...readCpu(directories),
    ...readMemoryDetails(directories),
    tasksMax: pids === undefined ? 0 : (finite(readNumber(`${pids.path}/pids.max`)) ?? 0),
    hugePages: hugetlb === undefined ? [] : readHugePages(hugetlb.hierarchy, hugetlb.path),
    devices: io === undefined ? [] : readDevices(io.hierarchy, io.path),
  }
}

const finite = (value: number | undefined): number | undefined =>
  value !== undefined && Number.isFinite(value) ? value : undefined

function readCpu(directories: Directories): Cpu {
  const cpu = directories('cpu')
  const stat = flatKeyed((cpu && readSmall(`${cpu.path}/cpu.stat`)) ?? '')
  const counted = { periods: stat('nr_periods'), throttledPeriods: stat('nr_throttled') }
  if (cpu?.hierarchy.version === 2) {
    const [quota = 'max', period = '0'] = (readSmall(`${cpu.path}/cpu.max`) ?? '').trim().split(' ')
    return {
      ...counted,
      cpuUserNs: stat('user_usec') * 1000,
      cpuSystemNs: stat('system_usec') * 1000,
      throttledNs: stat('throttled_usec') * 1000,
      cpuPeriodUs: Number(period),
      cpuQuotaUs: Number.parseInt(quota, 10) || 0,
      cpuShares: sharesOf(readNumber(`${cpu.path}/cpu.weight`) ?? 0),
    }
  }
  const account = directories('cpuacct')
  const number = (path: string | undefined) => (path === undefined ? 0 : (readNumber(path) ?? 0))
  return {
    ...counted,
    cpuUserNs: number(account && `${account.path}/cpuacct.usage_user`),
    cpuSystemNs: number(account && `${account.path}/cpuacct.usage_sys`),
    throttledNs: stat('throttled_time'),
    cpuPeriodUs: number(cpu && `${cpu.path}/cpu.cfs_period_us`),
    cpuQuotaUs: Math.max(number(cpu && `${cpu.path}/cpu.cfs_quota_us`), 0),
    cpuShares: number(cpu && `${cpu.path}/cpu.shares`),
  }
}

// The reverse of how OCI runtimes turn shares (2 to 262144) into a weight (1 to 10000).
const sharesOf = (weight: number): number => (weight <= 0 ? 0 : Math.round(2 + ((weight - 1) * 262142) / 9999))

function readMemoryDetails(directories: Directories): Memory {
  const memory = directories('memory')
  if (memory === undefined)
    return { memoryFailures: 0, memoryMaxUsageBytes: undefined, kernelBytes: 0, softLimitBytes: 0, oomKills: 0 }
  const { path } = memory
  const number = (file: string) => readNumber(`${path}/${file}`)
  if (memory.hierarchy.version === 1)
    return {
      memoryFailures: number('memory.failcnt') ?? 0,
      memoryMaxUsageBytes: number('memory.max_usage_in_bytes'),
      kernelBytes: number('memory.kmem.usage_in_bytes') ?? 0,
      softLimitBytes: limitOf(number('memory.soft_limit_in_bytes')) ?? 0,
      oomKills: flatKeyed(readSmall(`${path}/memory.oom_control`) ?? '')('oom_kill'),
    }
  const events = flatKeyed(readSmall(`${path}/memory.events`) ?? '')
  return {
    memoryFailures: events('max'),
    memoryMaxUsageBytes: number('memory.peak'),
    kernelBytes: flatKeyed(readSmall(`${path}/memory.stat`) ?? '')('kernel'),
    softLimitBytes: limitOf(number('memory.low')) ?? 0,
    oomKills: events('oom_kill'),
  }
}

// The page sizes of the machine never change.
const pageSizes = new Map<string, readonly string[]>()

function readHugePages({ version, root }: Hierarchy, directory: string): readonly HugePages[] {
  let sizes = pageSizes.get(root)
  if (sizes === undefined) {
    const names = unlessErrno(['ENOENT', 'ENODEV'], () => readdirSync(directory), [])
    sizes = names.flatMap((name) => /^hugetlb\.([^.]+)\.(?:usage_in_bytes|current)$/.exec(name)?.[1] ?? [])
    if (sizes.length > 0) pageSizes.set(root, sizes)
  }
  return sizes.map((pageSize) => ({
    pageSize,
    usageBytes: readNumber(`${directory}/hugetlb.${pageSize}.${version === 1 ? 'usage_in_bytes' : 'current'}`) ?? 0,
    maxUsageBytes: version === 1 ? readNumber(`${directory}/hugetlb.${pageSize}.max_usage_in_bytes`) : undefined,
  }))
}
