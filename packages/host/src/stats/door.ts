// What the kernel counts: the part of the door that stats and metrics go through.

/** Stalls for want of one resource (Documentation/accounting/psi.rst): shares of time in percent, and the whole. */
export interface PressureTimes {
  readonly totalNs: number
  readonly avg10: number
  readonly avg60: number
  readonly avg300: number
}

export interface Pressure {
  /** At least one task waited. */
  readonly some: PressureTimes
  /** All tasks waited. */
  readonly full: PressureTimes
}

/** Memory of a cgroup with all below it, in bytes. */
export interface MemoryUse {
  readonly usageBytes: number
  /** Usage without the page cache that is given up first (inactive_file), as kubelet reckons it. */
  readonly workingSetBytes: number
  /** Anonymous memory. */
  readonly rssBytes: number
  readonly cacheBytes: number
  readonly mappedFileBytes: number
  readonly pageFaults: number
  readonly majorPageFaults: number
  readonly swapBytes: number
  /** Undefined: none. */
  readonly limitBytes: number | undefined
  /** Of swap alone. Undefined: none. */
  readonly swapLimitBytes: number | undefined
}

/** What is asked for every few seconds. Undefined: the kernel does not account for it. Counters are of the cgroup and all below it. */
export interface CgroupUsage {
  readonly cpuNs: number | undefined
  readonly memory: MemoryUse | undefined
  /** Processes and threads. */
  readonly tasks: number | undefined
  readonly cpuPressure: Pressure | undefined
  readonly memoryPressure: Pressure | undefined
  readonly ioPressure: Pressure | undefined
}

/** Bytes and operations of one block device. */
export interface DeviceIo {
  /** Path of the device, such as `/dev/sda`; empty when the kernel tells none. */
  readonly device: string
  readonly major: number
  readonly minor: number
  readonly readBytes: number
  readonly writeBytes: number
  readonly reads: number
  readonly writes: number
}

export interface HugePages {
  /** As the kernel writes it: `2MB`. */
  readonly pageSize: string
  readonly usageBytes: number
  /** Undefined where the kernel keeps none (cgroup v2). */
  readonly maxUsageBytes: number | undefined
}

/** What only the metrics need. Limits: 0 is none. */
export interface CgroupDetails {
  readonly cpuUserNs: number
  readonly cpuSystemNs: number
  readonly periods: number
  readonly throttledPeriods: number
  readonly throttledNs: number
  readonly cpuPeriodUs: number
  readonly cpuQuotaUs: number
  readonly cpuShares: number
  readonly memoryFailures: number
  readonly memoryMaxUsageBytes: number | undefined
  readonly kernelBytes: number
  readonly softLimitBytes: number
  readonly tasksMax: number
  readonly oomKills: number
  readonly hugePages: readonly HugePages[]
  readonly devices: readonly DeviceIo[]
}

export interface InterfaceCounters {
  readonly name: string
  readonly rxBytes: number
  readonly rxPackets: number
  readonly rxErrors: number
  readonly rxDropped: number
  readonly txBytes: number
  readonly txPackets: number
  readonly txErrors: number
  readonly txDropped: number
}

export interface ProcessCounts {
  readonly processes: number
  readonly fileDescriptors: number
  /** Among the first 8192 open files. */
  readonly sockets: number
}

export interface FileSystemSize {
  /** Path of the block device; empty where there is none. */
  readonly device: string
  readonly totalBytes: number
  readonly inodes: number
  readonly freeInodes: number
}

/** Numbers of the kernel, by small reads; nothing is kept. */
export interface Stats {
  /** Undefined when the cgroup (path as in `Cgroups`) does not exist. About 0.1 ms. */
  usage(cgroupPath: string): CgroupUsage | undefined
  details(cgroupPath: string): CgroupDetails
  /** Counters of the interfaces in the network namespace pinned at `netnsPath`, without lo. Throws when there is none. */
  interfaces(netnsPath: string): readonly InterfaceCounters[]
  /** Processes of the cgroup and their open files; those that end meanwhile count as far as they were seen. Holds the event loop for 8 ms at most. */
  processCounts(cgroupPath: string): Promise<ProcessCounts>
  /** The file system of a path of our own: statfs(2). */
  fileSystem(path: string): FileSystemSize
  /** Soft limit of open files of a process. Undefined: gone, or unlimited. */
  openFilesLimit(pid: number): number | undefined
}
