// What this machine and this process can do, as far as it changes what containers get.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { unlessErrno } from '@coracle/base/errno'
import type { CgroupDriver, CgroupMode, Cgroups } from './host.ts'
import { hasAppArmor } from './lsm/apparmor.ts'
import { hasSelinux } from './lsm/selinux.ts'

/** The shape that container-spec takes. */
export interface HostFacts {
  readonly cgroupMode: CgroupMode
  readonly cgroupDriver: CgroupDriver
  /** First part of the names of containers' cgroups. */
  readonly scopePrefix?: string
  readonly controllers: ReadonlySet<string>
  readonly swapAccounting: boolean
  /** Capabilities this process may give, `CAP_…`. */
  readonly capabilities: readonly string[]
  readonly seccomp: boolean
  readonly apparmor: boolean
  readonly selinux: boolean
  /** This process may lower oom_score_adj below its own (CAP_SYS_RESOURCE). */
  readonly lowerOomScore: boolean
  readonly oomScoreAdj: number
  /** As the files of the hugetlb controller spell them: `2MB`, `1GB`. */
  readonly hugepageSizes: readonly string[]
  readonly recursiveReadOnly: boolean
  readonly userNamespaces: boolean
  /** Hard and soft RLIMIT_NOFILE of this process. */
  readonly nofile: { readonly soft: number; readonly hard: number }
}

export interface HostFactsOptions {
  readonly cgroups: Cgroups
  /** As configured. Default: systemd where it is PID 1, else cgroupfs. */
  readonly cgroupDriver?: CgroupDriver
  readonly scopePrefix?: string
}

export function readHostFacts({ cgroups, cgroupDriver, scopePrefix }: HostFactsOptions): HostFacts {
  const status = readFileSync('/proc/self/status', 'latin1')
  return {
    cgroupMode: cgroups.mode,
    cgroupDriver: cgroupDriver ?? (runsSystemd() ? 'systemd' : 'cgroupfs'),
    ...(scopePrefix === undefined ? {} : { scopePrefix }),
    controllers: cgroups.controllers,
    swapAccounting: cgroups.swapAccounting,
    capabilities: capabilityNames(maskOf(status, 'CapBnd') & maskOf(status, 'CapPrm')),
    seccomp: /^Seccomp:/m.test(status),
    apparmor: hasAppArmor(),
    selinux: hasSelinux(),
    lowerOomScore: capabilityNames(maskOf(status, 'CapEff')).includes('CAP_SYS_RESOURCE'),
    oomScoreAdj: Number(read('/proc/self/oom_score_adj')),
    hugepageSizes: hugepageSizes('/sys/kernel/mm/hugepages'),
    // mount_setattr(2).
    recursiveReadOnly: kernelIsAtLeast(5, 12),
    userNamespaces: existsSync('/proc/self/ns/user') && Number(read('/proc/sys/user/max_user_namespaces') || '1') > 0,
    nofile: openFileLimit(readFileSync('/proc/self/limits', 'latin1')),
  }
}

// sd_booted(3).
export const runsSystemd = (): boolean => existsSync('/run/systemd/system')

const read = (path: string): string => unlessErrno(['ENOENT', 'EACCES', 'EINVAL'], () => readFileSync(path, 'latin1').trim(), '')

// capability.h, by number.
const capabilities = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
  SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
  BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`
  .split(/\s+/)
  .map((name) => `CAP_${name}`)

/** The names of the bits of a capability set. Bits newer than the table are left out: no runtime could name them either. */
export function capabilityNames(mask: bigint): readonly string[] {
  return capabilities.filter((_, bit) => ((mask >> BigInt(bit)) & 1n) === 1n)
}

/** A hexadecimal mask of /proc/PID/status. */
export function maskOf(status: string, field: string): bigint {
  const digits = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1]
  return BigInt(`0x${digits ?? '0'}`)
}

/** `major.minor` of the running kernel, or a later one. */
export function kernelIsAtLeast(major: number, minor: number, version: string = release()): boolean {
  const [ours = 0, oursMinor = 0] = version.split(/[.-]/).map(Number)
  return ours > major || (ours === major && oursMinor >= minor)
}

export function hugepageSizes(directory: string): readonly string[] {
  const names = unlessErrno(['ENOENT'], () => readdirSync(directory), [])
  return names
    .flatMap((name) => Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? []))
    .filter((kib) => kib > 0)
    .toSorted((a, b) => a - b)
    .map((kib) => (kib >= 1 << 20 ? `${kib >> 20}GB` : kib >= 1 << 10 ? `${kib >> 10}MB` : `${kib}KB`))
}

/** From /proc/PID/limits. */
export function openFileLimit(text: string): { readonly soft: number; readonly hard: number } {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(text) ?? []
  const number = (word: string | undefined) => (word === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(word ?? 1024))
  return { soft: number(soft), hard: number(hard) }
}
