// The metrics of a container, by cAdvisor's names (https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md).
import type { DeviceIo, MemoryUse, PressureTimes } from '@coracle/host'
import type { ContainerMetrics } from '@coracle/lifecycle'
import { metricsOf, type Sample } from './metric.ts'

const { counter, gauge } = metricsOf<ContainerMetrics>()

const one = (value: number | undefined): readonly Sample[] => [[value]]
const seconds = (ns: number | undefined): number | undefined => (ns === undefined ? undefined : ns / 1e9)
const memory = (key: keyof MemoryUse) => (of: ContainerMetrics) => one(of.use.usage?.memory?.[key])
const devices = (key: 'readBytes' | 'writeBytes' | 'reads' | 'writes') => (of: ContainerMetrics) =>
  of.details.devices.map((io): Sample => [io[key], io.device])
const stalls =
  (resource: 'cpuPressure' | 'memoryPressure' | 'ioPressure', kind: 'some' | 'full') =>
  ({ use }: ContainerMetrics): readonly Sample[] => {
    const times: PressureTimes | undefined = use.usage?.[resource]?.[kind]
    return one(seconds(times?.totalNs))
  }

const deviceUsage = ({ device, major, minor, readBytes, writeBytes }: DeviceIo): readonly Sample[] => [
  [readBytes, device, String(major), String(minor), 'Read'],
  [writeBytes, device, String(major), String(minor), 'Write'],
]

function failures({ use }: ContainerMetrics): readonly Sample[] {
  const { pageFaults, majorPageFaults } = use.usage?.memory ?? {}
  // Containers that make cgroups of their own below have both scopes the same here: what is counted is all of it, as on cgroup v2.
  return ['container', 'hierarchy'].flatMap((scope): Sample[] => [
    [pageFaults, 'pgfault', scope],
    [majorPageFaults, 'pgmajfault', scope],
  ])
}

function startSeconds({ use: { container } }: ContainerMetrics): number {
  const { state, createdAt } = container
  return Number((state.kind === 'running' ? state.startedAt : createdAt) / 1_000_000_000n)
}

const cpuAndIo = [
  counter('cpu_usage_seconds_total', 'CPU time used.', ({ use }) => [[seconds(use.usage?.cpuNs), 'total']], ['cpu']),
  counter('cpu_user_seconds_total', 'CPU time used in user mode.', ({ details }) => one(seconds(details.cpuUserNs))),
  counter('cpu_system_seconds_total', 'CPU time used in kernel mode.', ({ details }) => one(seconds(details.cpuSystemNs))),
  counter('cpu_cfs_periods_total', 'Periods in which the CPU quota was enforced.', ({ details }) => one(details.periods)),
  counter('cpu_cfs_throttled_periods_total', 'Periods in which the CPU quota ran out.', ({ details }) =>
    one(details.throttledPeriods),
  ),
  counter('cpu_cfs_throttled_seconds_total', 'Time spent waiting for CPU quota.', ({ details }) =>
    one(seconds(details.throttledNs)),
  ),
  counter('blkio_device_usage_total', 'Bytes moved, by block device.', ({ details }) => details.devices.flatMap(deviceUsage), [
    ...['device', 'major', 'minor', 'operation'],
  ]),
  counter('fs_reads_bytes_total', 'Bytes read from block devices.', devices('readBytes'), ['device']),
  counter('fs_reads_total', 'Reads from block devices.', devices('reads'), ['device']),
  counter('fs_writes_bytes_total', 'Bytes written to block devices.', devices('writeBytes'), ['device']),
  counter('fs_writes_total', 'Writes to block devices.', devices('writes'), ['device']),
  gauge('fs_inodes_free', 'Inodes that are free on the file system.', ({ fileSystem: fs }) => [[fs.freeInodes, fs.device]], [
    'device',
  ]),
  gauge('fs_inodes_total', 'Inodes of the file system.', ({ fileSystem: fs }) => [[fs.inodes, fs.device]], ['device']),
  gauge('fs_limit_bytes', 'Size of the file system.', ({ fileSystem: fs }) => [[fs.totalBytes, fs.device]], ['device']),
  gauge(
    'fs_usage_bytes',
    'Bytes of the writable layer.',
    ({ use, fileSystem: fs }) => [[Number(use.layer?.usedBytes ?? 0n), fs.device]],
    ['device'],
  ),
]

const memoryAndPressure = [
  gauge('memory_cache', 'Page cache.', memory('cacheBytes')),
  counter('memory_failcnt', 'Times the memory limit was met.', ({ details }) => one(details.memoryFailures)),
  counter('memory_failures_total', 'Page faults.', failures, ['failure_type', 'scope']),
  gauge('memory_kernel_usage', 'Memory of the kernel for the container.', ({ details }) => one(details.kernelBytes)),
  gauge('memory_mapped_file', 'Memory of mapped files.', memory('mappedFileBytes')),
  gauge('memory_max_usage_bytes', 'Greatest memory usage so far.', ({ details, use }) =>
    one(details.memoryMaxUsageBytes ?? use.usage?.memory?.usageBytes),
  ),
  gauge('memory_rss', 'Anonymous memory.', memory('rssBytes')),
  gauge('memory_swap', 'Swap used.', memory('swapBytes')),
  gauge('memory_usage_bytes', 'Memory used, with page cache.', memory('usageBytes')),
  gauge('memory_working_set_bytes', 'Memory used, without inactive page cache.', memory('workingSetBytes')),
  gauge(
    'hugetlb_usage_bytes',
    'Huge pages used.',
    ({ details }) => details.hugePages.map(({ usageBytes, pageSize }): Sample => [usageBytes, pageSize]),
    ['pagesize'],
  ),
  gauge(
    'hugetlb_max_usage_bytes',
    'Greatest use of huge pages so far.',
    ({ details }) => details.hugePages.map(({ maxUsageBytes, pageSize }): Sample => [maxUsageBytes, pageSize]),
    ['pagesize'],
  ),
  counter('oom_events_total', 'Processes that the OOM killer ended.', ({ details }) => one(details.oomKills)),
  counter('pressure_cpu_stalled_seconds_total', 'Time in which all tasks waited for CPU.', stalls('cpuPressure', 'full')),
  counter('pressure_cpu_waiting_seconds_total', 'Time in which some task waited for CPU.', stalls('cpuPressure', 'some')),
  counter('pressure_io_stalled_seconds_total', 'Time in which all tasks waited for I/O.', stalls('ioPressure', 'full')),
  counter('pressure_io_waiting_seconds_total', 'Time in which some task waited for I/O.', stalls('ioPressure', 'some')),
  counter(
    'pressure_memory_stalled_seconds_total',
    'Time in which all tasks waited for memory.',
    stalls('memoryPressure', 'full'),
  ),
  counter(
    'pressure_memory_waiting_seconds_total',
    'Time in which some task waited for memory.',
    stalls('memoryPressure', 'some'),
  ),
]

const processesAndLimits = [
  gauge('file_descriptors', 'Open file descriptors.', ({ counts }) => one(counts.fileDescriptors)),
  gauge('processes', 'Processes.', ({ counts }) => one(counts.processes)),
  gauge('sockets', 'Open sockets.', ({ counts }) => one(counts.sockets)),
  gauge('threads', 'Threads.', ({ use }) => one(use.usage?.tasks)),
  gauge('threads_max', 'Threads that are allowed; 0 is no limit.', ({ details }) => one(details.tasksMax)),
  gauge('ulimits_soft', 'Soft limits of the first process.', (of) => [[of.openFilesLimit, 'max_open_files']], ['ulimit']),
  gauge('last_seen', 'When the container was last looked at, in seconds since 1970.', ({ use }) =>
    one(Number(use.timestampNs / 1_000_000_000n)),
  ),
  gauge('start_time_seconds', 'When the container was started, in seconds since 1970.', (of) => one(startSeconds(of))),
  gauge('spec_cpu_period', 'Period of the CPU quota in microseconds.', ({ details }) => one(details.cpuPeriodUs)),
  gauge('spec_cpu_quota', 'CPU quota in microseconds; 0 is none.', ({ details }) => one(details.cpuQuotaUs)),
  gauge('spec_cpu_shares', 'CPU shares.', ({ details }) => one(details.cpuShares)),
  gauge('spec_memory_limit_bytes', 'Memory limit; 0 is none.', ({ use }) => one(use.usage?.memory?.limitBytes ?? 0)),
  gauge('spec_memory_reservation_limit_bytes', 'Memory reservation; 0 is none.', ({ details }) => one(details.softLimitBytes)),
  gauge('spec_memory_swap_limit_bytes', 'Limit of swap; 0 is none.', ({ use }) => one(use.usage?.memory?.swapLimitBytes ?? 0)),
]

export const containerMetrics = [...cpuAndIo, ...memoryAndPressure, ...processesAndLimits]
