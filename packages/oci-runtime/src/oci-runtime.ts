// What the OCI runtime room hands out: containers driven through a monitor that outlives the daemon.
import type { Readable, Writable } from 'node:stream'
import type { LinuxResources, Process, RuntimeSpec } from '@coracle/oci-spec/runtime-spec'

/** Where the files of one container are. All directories belong to us, mode 0700. */
export interface ContainerPaths {
  readonly id: string
  /** Gets config.json. */
  readonly bundle: string
  /** Runtime and monitor state that dies with a reboot: pid files, exit file, sockets. */
  readonly state: string
}

export interface CreateRequest {
  readonly paths: ContainerPaths
  readonly spec: RuntimeSpec
  /** Absolute; undefined: no log is kept. Opened by the monitor, never through a symbolic link. */
  readonly logPath: string | undefined
  readonly stdin: boolean
  readonly stdinOnce: boolean
  readonly terminal: boolean
  /** cgroup for the monitor itself; undefined: where the daemon is. */
  readonly monitorCgroup: string | undefined
}

export interface Exit {
  readonly exitCode: number
  /** Nanoseconds since 1970. */
  readonly finishedAt: bigint
  readonly oomKilled: boolean
}

export interface ExecRequest {
  readonly process: Process
  readonly stdin: boolean
}

/** A process started in a running container. With a terminal, stdout carries everything and stderr is undefined. */
export interface ExecSession {
  readonly pid: number
  readonly stdin: Writable | undefined
  readonly stdout: Readable
  readonly stderr: Readable | undefined
  /** The exit code (128+n after signal n). Settles when the process ended, whoever still holds its output open. Never rejects. */
  readonly exited: Promise<number>
  resize(size: { readonly columns: number; readonly rows: number }): void
  /** Ends the whole process tree: SIGHUP first when `hangup`, then SIGKILL. Idempotent; resolves when it is gone. */
  terminate(hangup: boolean): Promise<void>
}

/** An attached view on a container's stdio through its monitor. */
export interface AttachSession extends Disposable {
  readonly output: AsyncIterable<{ readonly stream: 'stdout' | 'stderr'; readonly data: Buffer }>
  write(data: Uint8Array): Promise<void>
  /** Half-close of stdin. */
  endInput(): void
}

export interface RuntimeFeatures {
  readonly recursiveReadOnlyMounts: boolean
  readonly mountOptions: readonly string[]
}

export interface MonitorState {
  readonly monitorAlive: boolean
  /** The container's init process, undefined when it is gone. */
  readonly pid: number | undefined
}

/** One runtime handler: an OCI command-line runtime below conmon. */
export interface OciRuntime {
  readonly handler: string
  /** Absolute path of the program. */
  readonly program: string
  /**
   * Containers run on a kernel of their own (gVisor): their processes are none of this machine's, and the pid of a container is that of
   * the sandbox around them.
   */
  readonly sandboxed: boolean
  /** Takes seccomp filters ready made (crun 1.7 and later), which spares compiling them at each start. */
  readonly compiledSeccomp: boolean
  /** In user namespaces it binds device files of the node, by the path they have inside, instead of making nodes. */
  readonly bindsDevices: boolean
  /** In a user namespace it takes only the top of a tree for `rbind` (crun, seen with 1.8): what is mounted below has to be listed. */
  readonly losesSubmounts: boolean
  version(signal: AbortSignal): Promise<string>
  features(signal: AbortSignal): Promise<RuntimeFeatures>
  /** Writes the bundle, starts the monitor, creates the container. Resolves to the pid of its init. On failure nothing runs; throws with the runtime's own words. */
  create(request: CreateRequest, signal: AbortSignal): Promise<{ readonly pid: number; readonly monitorPid: number }>
  /** Throws `failed_precondition` with the runtime's own words when the program could not be executed. */
  start(paths: ContainerPaths, signal: AbortSignal): Promise<void>
  /** To init, or to every process of the container. Gone already: succeeds. Works with the monitor dead. */
  kill(paths: ContainerPaths, signal: number, all: boolean): Promise<void>
  /** Removes the runtime's own record and cgroup, ends the monitor; killing what still runs. Absent: succeeds. */
  delete(paths: ContainerPaths): Promise<void>
  inspect(paths: ContainerPaths): MonitorState
  /** Whether the program was started: asks the runtime for its state. For recovery. Absent: false. */
  isStarted(paths: ContainerPaths): Promise<boolean>
  /** The exit as the monitor wrote it; undefined while none was written. */
  readExit(paths: ContainerPaths): Exit | undefined
  /** Calls back once when the exit is known (exit file, else monitor and init both gone: code 255 after 1 s). Stops on abort. */
  watchExit(paths: ContainerPaths, signal: AbortSignal, onExit: (exit: Exit) => void): void
  exec(paths: ContainerPaths, request: ExecRequest, signal: AbortSignal): Promise<ExecSession>
  attach(paths: ContainerPaths): Promise<AttachSession>
  resize(paths: ContainerPaths, size: { readonly columns: number; readonly rows: number }): Promise<void>
  update(paths: ContainerPaths, resources: LinuxResources, signal: AbortSignal): Promise<void>
  /** The monitor closes the log and makes it anew at the same path; resolves when the new file exists. */
  reopenLog(paths: ContainerPaths, signal: AbortSignal): Promise<void>
  /** Ends exec processes that an earlier daemon left behind. */
  sweepExecs(paths: ContainerPaths): Promise<void>
}
