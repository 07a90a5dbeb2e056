// What the kernel tells of how a process is confined: the part of the door that proves isolation.
import type { MountInfo, ProcessIdentity } from '../host.ts'

export type NamespaceType = 'cgroup' | 'ipc' | 'mnt' | 'net' | 'pid' | 'time' | 'user' | 'uts'

/** Inode numbers of namespaces (namespaces(7)): two processes share one when the numbers are equal. */
export type NamespaceInodes = Readonly<Partial<Record<NamespaceType, number>>>

/** Real, effective, saved and file system id, as the host counts. */
export interface FourIds {
  readonly real: number
  readonly effective: number
  readonly saved: number
  readonly fileSystem: number
}

/** One line of /proc/PID/uid_map (user_namespaces(7)). */
export interface IdRange {
  readonly inside: number
  readonly outside: number
  readonly count: number
}

/** Names with `CAP_`, in the order of their numbers. */
export interface CapabilitySets {
  readonly effective: readonly string[]
  readonly permitted: readonly string[]
  readonly inheritable: readonly string[]
  readonly bounding: readonly string[]
  readonly ambient: readonly string[]
}

export interface Rlimit {
  /** As getrlimit(2) has it: `RLIMIT_NOFILE`. */
  readonly name: string
  /** Undefined: unlimited. */
  readonly soft: bigint | undefined
  readonly hard: bigint | undefined
}

export interface OpenDescriptor {
  readonly fd: number
  /** As /proc/PID/fd links it: a path, `pipe:[1]`, `socket:[2]`, `anon_inode:…`. */
  readonly target: string
  readonly readable: boolean
  readonly writable: boolean
  /** A path on a mount that the process does not have: a way out of its root. */
  readonly outside: boolean
}

export interface CgroupLimits {
  readonly version: 1 | 2
  /** Bound to this hierarchy; none for the v2 tree of a hybrid machine. */
  readonly controllers: readonly string[]
  /** Relative to the hierarchy's root. */
  readonly path: string
  /** Content of the limit files by name, trimmed. */
  readonly limits: Readonly<Record<string, string>>
}

export interface DeviceRules {
  /** v1: what `devices.list` says, a rule a line. */
  readonly rules: readonly string[]
  /** v2: how many programs of type BPF_CGROUP_DEVICE are attached to the cgroup. Undefined: the kernel does not tell. */
  readonly programs: number | undefined
}

export interface ProcessIsolation {
  readonly namespaces: NamespaceInodes
  readonly uids: FourIds
  readonly gids: FourIds
  readonly groups: readonly number[]
  readonly uidMap: readonly IdRange[]
  readonly gidMap: readonly IdRange[]
  readonly capabilities: CapabilitySets
  readonly noNewPrivileges: boolean
  readonly seccomp: { readonly mode: 'disabled' | 'strict' | 'filter' | 'unknown'; readonly filters: number }
  /** Of the LSM that answers /proc/PID/attr/current; empty: none does. */
  readonly label: string
  readonly mounts: readonly MountInfo[]
  /** Paths below /proc and /sys over which something empty was mounted. */
  readonly maskedPaths: readonly string[]
  /** Paths below /proc and /sys that were mounted once more, read-only. */
  readonly readonlyPaths: readonly string[]
  readonly cgroups: readonly CgroupLimits[]
  readonly devices: DeviceRules
  readonly rlimits: readonly Rlimit[]
  readonly oomScoreAdj: number
  readonly descriptors: readonly OpenDescriptor[]
}

export interface Isolation {
  /** By small reads of /proc and cgroupfs. Undefined when the process is gone, or went while it was read: never of a later one with its pid. */
  read(process: ProcessIdentity): ProcessIsolation | undefined
  /** Those that this daemon is in: the host's. */
  hostNamespaces(): NamespaceInodes
  /** The inode of a namespace file: a pin, or /proc/PID/ns/TYPE. Undefined when there is none. */
  namespaceAt(path: string): number | undefined
}
