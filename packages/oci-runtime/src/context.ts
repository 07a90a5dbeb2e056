// What every part of this room is handed: how the handler is configured, and the doors to the kernel.
import type { CgroupDriver, ChildHandle, Host } from '@coracle/host'

export type RuntimeKind = 'crun' | 'runc' | 'runsc' | 'other'

export interface RuntimeTimeouts {
  readonly createMs: number
  readonly startMs: number
  readonly killMs: number
  readonly deleteMs: number
  /** For `update`, `features`, `--version` and other short commands. */
  readonly stateMs: number
}

export const defaultTimeouts: RuntimeTimeouts = {
  createMs: 240_000,
  startMs: 240_000,
  killMs: 10_000,
  deleteMs: 60_000,
  stateMs: 10_000,
}

export interface OciRuntimeOptions {
  /** The name by which pods ask for it. */
  readonly handler: string
  /** Absolute path of crun, runc, runsc or another program with their command line. */
  readonly program: string
  /** Default: by the program's file name. */
  readonly kind?: RuntimeKind
  /** Absolute path of conmon 2.1 or later. */
  readonly conmonPath: string
  /** The runtime's `--root`: its own records, lost with a reboot. */
  readonly runtimeRoot: string
  /**
   * Directory for sockets whose path must fit into 107 bytes. Made with mode 0700. Default: `s` beside `runtimeRoot`
   * while that is short enough, else a directory below /run named by a hash of it.
   */
  readonly socketDirectory?: string
  readonly cgroupDriver: CgroupDriver
  /** How long output is read after the end of an exec'ed process while others hold it open. Default 15 s. */
  readonly execDrainMs?: number
  readonly timeouts?: Partial<RuntimeTimeouts>
  /** The monitor starts the log anew when it grows past this; kubelet rotates by itself. Default: no limit. */
  readonly logSizeMaxBytes?: number
  /** Global arguments of the runtime, before its command. */
  readonly extraArguments?: readonly string[]
  /** Environment of runtime and monitor beside PATH. Nothing of the daemon's own is inherited. */
  readonly environment?: Readonly<Record<string, string>>
}

export type OciRuntimeDeps = Pick<Host, 'processes' | 'sockets' | 'cgroups'>

export interface RuntimeContext {
  readonly handler: string
  readonly program: string
  readonly kind: RuntimeKind
  readonly conmonPath: string
  readonly runtimeRoot: string
  readonly socketDirectory: string
  readonly cgroupDriver: CgroupDriver
  readonly execDrainMs: number
  readonly timeouts: RuntimeTimeouts
  readonly logSizeMaxBytes: number | undefined
  readonly extraArguments: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly deps: OciRuntimeDeps
  /** Monitors started by this process, by container: their end is told by the kernel, without polling. */
  readonly monitors: Map<string, ChildHandle>
}
