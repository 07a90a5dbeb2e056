// The part of OCI runtime-spec 1.2 (https://github.com/opencontainers/runtime-spec/blob/main/config.md) that we write.
import type { Mount } from './mount.ts'

export interface IdMapping {
  readonly containerID: number
  readonly hostID: number
  readonly size: number
}

export interface SpecMount extends Mount {
  readonly uidMappings?: readonly IdMapping[]
  readonly gidMappings?: readonly IdMapping[]
}

export interface Capabilities {
  readonly bounding: readonly string[]
  readonly effective: readonly string[]
  readonly permitted: readonly string[]
  readonly inheritable: readonly string[]
  readonly ambient: readonly string[]
}

export interface ProcessUser {
  readonly uid: number
  readonly gid: number
  readonly umask?: number
  readonly additionalGids: readonly number[]
}

export interface Rlimit {
  readonly type: string
  readonly soft: number
  readonly hard: number
}

export interface Process {
  readonly terminal: boolean
  readonly consoleSize?: { readonly height: number; readonly width: number }
  readonly user: ProcessUser
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly capabilities: Capabilities
  readonly rlimits?: readonly Rlimit[]
  readonly noNewPrivileges: boolean
  readonly apparmorProfile?: string
  readonly selinuxLabel?: string
  readonly oomScoreAdj?: number
}

export type NamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup'

export interface Namespace {
  readonly type: NamespaceType
  /** Absent: a new one. */
  readonly path?: string
}

export interface LinuxDevice {
  readonly path: string
  readonly type: 'c' | 'b' | 'u' | 'p'
  readonly major: number
  readonly minor: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

export interface DeviceRule {
  readonly allow: boolean
  readonly type?: 'a' | 'c' | 'b'
  readonly major?: number
  readonly minor?: number
  readonly access?: string
}

/** config-linux.md#control-groups. Only fields that are set are given. */
export interface LinuxResources {
  readonly devices?: readonly DeviceRule[]
  readonly memory?: { readonly limit?: number; readonly reservation?: number; readonly swap?: number }
  readonly cpu?: {
    readonly shares?: number
    readonly quota?: number
    readonly period?: number
    readonly cpus?: string
    readonly mems?: string
  }
  readonly pids?: { readonly limit: number }
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[]
  readonly unified?: Readonly<Record<string, string>>
}

export interface SeccompArg {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly SeccompArg[]
}

export interface Seccomp {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly flags?: readonly string[]
  readonly syscalls?: readonly SeccompRule[]
}

export interface Hook {
  readonly path: string
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  readonly timeout?: number
}

export interface RuntimeSpec {
  readonly ociVersion: string
  readonly process: Process
  readonly root: { readonly path: string; readonly readonly: boolean }
  readonly hostname?: string
  readonly mounts: readonly SpecMount[]
  readonly annotations: Readonly<Record<string, string>>
  readonly hooks?: Readonly<Record<string, readonly Hook[]>>
  readonly linux: {
    readonly namespaces: readonly Namespace[]
    readonly uidMappings?: readonly IdMapping[]
    readonly gidMappings?: readonly IdMapping[]
    readonly devices?: readonly LinuxDevice[]
    readonly cgroupsPath: string
    readonly resources: LinuxResources
    readonly seccomp?: Seccomp
    readonly maskedPaths: readonly string[]
    readonly readonlyPaths: readonly string[]
    readonly sysctl?: Readonly<Record<string, string>>
    readonly rootfsPropagation?: string
    readonly mountLabel?: string
  }
}
