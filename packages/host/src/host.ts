// The one door to the kernel. Everything above is written against these interfaces and runs on fakes without root.
import type { Mount } from '@coracle/oci-spec/mount'
import type { IdMapping } from '@coracle/oci-spec/runtime-spec'
import type { Isolation } from './isolation/door.ts'
import type { Stats } from './stats/door.ts'

export interface Host {
  readonly mounts: Mounts
  readonly namespaces: NamespacePins
  readonly cgroups: Cgroups
  readonly processes: Processes
  readonly paths: Paths
  readonly sockets: Sockets
  readonly stats: Stats
  readonly isolation: Isolation
}

export interface MountInfo {
  readonly id: number
  readonly parent: number
  readonly root: string
  readonly target: string
  readonly options: readonly string[]
  /** Optional fields: `shared:N`, `master:N`. */
  readonly propagation: readonly string[]
  readonly type: string
  readonly source: string
}

/** A place that was opened once (O_PATH) and stays this, whatever its name means later. */
export interface HeldPath extends Disposable {
  readonly fd: number
  /** As it was asked for. */
  readonly path: string
  /** Links were followed: never `symlink`. */
  readonly type: FileType
  /** Where it lies now, without links; with ` (deleted)` behind it when it has no name any more (proc_pid_fd(5)). */
  realPath(): string
}

export interface CloneRequest {
  readonly source: string
  /** The source, opened before: `source` is its name in errors then. */
  readonly held?: HeldPath
  readonly destination: string
  /** A pinned user namespace, whose mappings are taken. Absent: ids stay as they are. */
  readonly usernsPath?: string
  /** With everything that is mounted below, which all gets the mappings. */
  readonly recursive: boolean
  /** For a source of somebody else: it is looked up off the main thread, for at most so long. Absent: a directory of our own. */
  readonly timeoutMs?: number
}

export interface SpreadMount {
  /** Below the directory, without a slash in front; `.` for itself. */
  readonly path: string
  readonly source: string
}

export interface Mounts {
  /**
   * mount(2). `options` are words of mount(8): flags (`ro`, `nosuid`, `nodev`, `noexec`, `bind`, `rbind`, `remount`), propagation
   * (`private`, `rslave`, `shared`, …, applied by a second call) and file system data. A read-only bind is bind, then remount.
   * Throws `internal` with the errno's name, the target and the type.
   */
  mount(mount: Mount): void
  /**
   * Shows the tree at `source` a second time, at `destination` (made when absent), with ids mapped on the way where a user namespace is
   * given: what is root's on disk is the first mapped id's to the kernel, and the other way round (open_tree(2), mount_setattr(2),
   * move_mount(2); Linux 5.12).
   * Throws `failed_precondition` naming the file system that cannot be mapped,
   * `deadline_exceeded` when `source` does not answer.
   */
  mountClone(request: CloneRequest, signal: AbortSignal): Promise<void>
  /**
   * Makes `directory` (made when absent) a place for clones: a mount of its own, so that nothing below is seen in other mount namespaces, nor
   * taken along when a tree above is bound or cloned.
   */
  enclose(directory: string): void
  /** Undoes `enclose`: takes all that is mounted there away, without the peers of it, and removes the directory. Absent: succeeds. */
  dissolve(directory: string): Promise<void>
  /**
   * For a `directory` made by `mountClone` with all below: gives it (`.`) and each mount that lies below it a place of its own beside it,
   * at `directory.N`, and tells these in the order of depth: those that the root of a user namespace
   * with the mappings `visitors` can go to. The tree itself stays as it is. Nothing below: empty.
   */
  spread(directory: string, visitors: UserMappings): readonly SpreadMount[]
  /**
   * Takes a mount and all below it out of the tree at once; who uses it still can (MNT_DETACH). Its peers keep what lies below them. Nothing
   * mounted or no such path: succeeds.
   */
  detach(target: string): void
  /** umount2(2), retried for up to 10 s while busy, then detached (MNT_DETACH) and logged. Nothing mounted or no such path: succeeds. */
  unmount(target: string): Promise<void>
  /** Unmounts everything at or below `directory`, deepest first. */
  unmountBelow(directory: string): Promise<void>
  /** /proc/self/mountinfo, parsed. Not for hot paths. */
  list(): readonly MountInfo[]
  /**
   * Whether something is mounted exactly at `path`, by STATX_ATTR_MOUNT_ROOT of statx(2); links are not followed. Absent path: false,
   * a file system whose server is gone: true.
   */
  isMountPoint(path: string): boolean
  /** The sharedness of the mount that holds a place (mount_namespaces(7)). Told by the mount table: its file system is not asked. */
  propagationOf(place: HeldPath): 'private' | 'shared' | 'slave'
  /** syncfs(2) of the file system that holds `path`. Runs off the main thread. */
  syncFileSystem(path: string): Promise<void>
}

export type PinnedNamespace = 'net' | 'ipc' | 'uts' | 'user'

/** The mappings of a user namespace, as /proc/PID/uid_map takes them (user_namespaces(7)). */
export interface UserMappings {
  readonly uids: readonly IdMapping[]
  readonly gids: readonly IdMapping[]
}

export interface PinRequest {
  /** Directory that gets one bind-mounted file for each namespace, named `net`, `ipc`, `uts`, `user`. Created. */
  readonly directory: string
  readonly kinds: readonly Exclude<PinnedNamespace, 'user'>[]
  /** Makes a user namespace too, which owns the others. */
  readonly userMappings?: UserMappings
  /** Set in the new UTS namespace. */
  readonly hostname?: string
  /** Written inside the new namespaces, keys with dots. Must have been checked before. */
  readonly sysctls?: Readonly<Record<string, string>>
}

export interface NamespacePins {
  /**
   * New namespaces, pinned by bind mounts so that they live without a process. Synchronous on the main thread:
   * unshare(2), configure (loopback up, hostname, sysctls), bind /proc/thread-self/ns/*, setns(2) back; if going back fails the process aborts.
   * With a user namespace they are made by a child instead, which is gone again when this returns.
   * All or nothing: on failure no pin is left.
   */
  pin(request: PinRequest): void
  /** Unmounts and removes the pins. Absent: succeeds. */
  unpin(directory: string): Promise<void>
  isPinned(directory: string, kind: PinnedNamespace): boolean
  /**
   * Writes sysctls inside the network namespace at `netnsPath`, as `PinRequest.sysctls`. Throws `failed_precondition` for one that is not
   * there, `invalid_argument` for a value that the kernel does not take.
   */
  setSysctls(netnsPath: string, sysctls: Readonly<Record<string, string>>): void
  /** A TCP connection made inside the network namespace at `netnsPath`; resolves to a connected, non-blocking socket's fd. */
  dial(netnsPath: string, address: string, port: number, signal: AbortSignal): Promise<number>
}

export type CgroupMode = 'v1' | 'hybrid' | 'v2'
export type CgroupDriver = 'cgroupfs' | 'systemd'

export interface Cgroups {
  readonly mode: CgroupMode
  /** Controllers that are mounted (v1) or enabled at the root (v2): `memory`, `cpu`, `pids`, `hugetlb`, … */
  readonly controllers: ReadonlySet<string>
  /** Whether memory+swap limits can be set. */
  readonly swapAccounting: boolean
  /** Makes the cgroup (path relative to the hierarchy roots, `/a/b`) in every hierarchy. True when it did not exist before. */
  ensure(path: string): boolean
  exists(path: string): boolean
  /** Removes the cgroup and everything below it, retried with backoff for up to 10 s while busy. Absent: succeeds. */
  remove(path: string): Promise<void>
  /** rmdir(2) of the cgroup itself where nothing is in it or below it; otherwise it stays. */
  removeIfEmpty(path: string): void
  /** Moves a process into the cgroup in every hierarchy. */
  addProcess(path: string, pid: number): void
  /** Pids in the cgroup and those below it. Absent: empty. */
  processes(path: string): readonly number[]
  /** SIGKILL to every process in it: cgroup.kill on v2, else freeze, kill, thaw until empty or 5 s passed. Absent: succeeds. */
  kill(path: string): Promise<void>
  /** How many processes the OOM killer ended here (memory.events oom_kill; v1 memory.oom_control oom_kill). Absent: 0. */
  oomKills(path: string): number
  /** The limits of the cgroup as they are now. Absent: none. */
  keepLimits(path: string): KeptLimits
  /** Writes one limit where its controller is. Throws with the kernel's reason. */
  setLimit(path: string, limit: { readonly file: string; readonly value: string }): void
  /** The cgroup path of a process as /proc/PID/cgroup tells it (memory controller on v1, unified on v2). Undefined when it is gone. */
  pathOf(pid: number): string | undefined
}

export interface KeptLimits {
  /** Writes back what has changed since. Returns the files that could not be. */
  restore(): readonly string[]
}

/** A process that cannot be mistaken for a later one with the same pid: /proc/PID/stat field 22. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks after boot. */
  readonly startTime: bigint
}

export interface RunRequest {
  /** Absolute path, then arguments. Never a shell string. */
  readonly argv: readonly [string, ...string[]]
  /** The whole environment. Nothing of the daemon's is inherited. Default: PATH only. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string | Uint8Array
  readonly timeoutMs: number
  /** Kept of each of stdout and stderr, in bytes; more is discarded while draining. Default 1 MiB. */
  readonly maxOutputBytes?: number

  readonly signal: AbortSignal
}

export interface RunResult {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stdout: Buffer
  readonly stderr: Buffer
  readonly truncated: boolean
}

export interface StartRequest {
  readonly argv: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /**
   * stdin, stdout, stderr, then extra fds. A number passes that fd of ours; all others of ours stay ours. `pipe` is a pipe(2) for 0, 1 and 2
   * (so /dev/stdout can be opened again) and a pair of sockets from 3 on.
   */
  readonly stdio: readonly ('ignore' | 'pipe' | number)[]
  /** Own session and process group (setsid). Default true. */
  readonly detached?: boolean
}

/** A child process: spawn, exit, error, kill — and always collected. */
export interface ChildHandle extends AsyncDisposable {
  readonly pid: number
  /** The parent's ends of the `pipe`s, by fd number; undefined where none. fd 0 is writable, 1 and 2 readable, from 3 on duplex. */
  readonly stdio: readonly (
    | import('node:stream').Duplex
    | import('node:stream').Readable
    | import('node:stream').Writable
    | null
    | undefined
  )[]
  /** Settles when the process has ended (not when its pipes closed). Never rejects. */
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>
  /** To the process group when detached. Gone already: false. */
  kill(signal: NodeJS.Signals | number): boolean
  /** Our own end no longer waits for it: for children that are meant to outlive us. It is still collected while we live. */
  unref(): void
}

/** The two ends of a pipe(2), close-on-exec, ours to close. */
export interface PipeEnds {
  readonly read: number
  readonly write: number
}

export interface Processes {
  /** Runs to the end. Kills the process group at the timeout or abort (then rejects with `deadline_exceeded` or the signal's reason). */
  run(request: RunRequest): Promise<RunResult>
  /** Starts and leaves running. Rejects when the program cannot be started. */
  start(request: StartRequest): Promise<ChildHandle>
  /** A pipe(2), for ends that are passed on. */
  pipe(): PipeEnds
  /** Undefined when there is no such process, or it is a zombie. */
  identify(pid: number): ProcessIdentity | undefined
  isAlive(process: ProcessIdentity): boolean
  /** pidfd_open(2), start time check, pidfd_send_signal(2). False when it is gone. */
  signal(process: ProcessIdentity, signal: number): boolean
  /**
   * Whether a signal sent now would reach the process: it has a handler, blocks it, or is not the first of its PID namespace, whose
   * signals without a handler the kernel drops (pid_namespaces(7)). Gone: true.
   */
  receives(pid: number, signal: number): boolean
  /** Resolves when the process is gone (pidfd, polled by the kernel where it can be, else every 50 ms); rejects on abort. */
  waitForExit(process: ProcessIdentity, signal: AbortSignal): Promise<void>
  /** Descendants of `pid` by parentage, and every process of a session that one of them leads. Without `pid` itself. */
  descendants(pid: number): readonly ProcessIdentity[]
  /** An identifier of this boot: /proc/sys/kernel/random/boot_id. */
  bootId(): string
  /** Writes oom_score_adj. False when the process has ended. Throws `internal` when the kernel refuses a lower one (proc_pid_oom_score_adj(5)). */
  setOomScoreAdj(process: ProcessIdentity, value: number): boolean
  /** Programs of ours that were killed and have not ended: they hang in the kernel. */
  stuck(): number
}

export type FileType = 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket'

export interface PathInfo {
  readonly path: string
  /** Undefined: does not exist. Links are followed. */
  readonly type: FileType | undefined
  /** Device number of device nodes. */
  readonly major: number
  readonly minor: number
}

/** Paths that hostile or hung parties control. */
export interface Paths {
  /**
   * Looks at paths that a pod supplied, in a killable process with a deadline, never on the daemon's own threads.
   * Rejects with `deadline_exceeded` naming the paths.
   */
  probe(paths: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<readonly PathInfo[]>
  /**
   * Opens what `probe` found, each once, links followed, in order; like `probe` it never waits on the daemon's own threads. All or none: throws
   * `failed_precondition` when one is gone meanwhile, `deadline_exceeded`.
   */
  hold(found: readonly PathInfo[], timeoutMs: number, signal: AbortSignal): Promise<readonly HeldPath[]>
  /** Opens `path` below `root`, a tree of ours with content of others: no link is followed, `invalid_argument` names it. Undefined when absent. */
  holdBeneath(root: string, path: string): HeldPath | undefined
  /** mkdir -p in a killable process. */
  makeDirectory(path: string, timeoutMs: number, signal: AbortSignal): Promise<void>
  /**
   * Reads a regular file below `root`, resolved as if root were `/` (openat2 RESOLVE_IN_ROOT, O_NONBLOCK). Undefined when absent.
   * Throws `invalid_argument` when it is no regular file or larger than `maxBytes`.
   */
  readInRoot(root: string, path: string, maxBytes: number): Buffer | undefined
  /** The type of `path` below `root`, resolved in root, following links. Undefined when absent. */
  typeInRoot(root: string, path: string): FileType | undefined
  /** Makes a directory and its parents below `root`, resolved in root. Existing: succeeds; existing as something else: `failed_precondition`. */
  makeDirectoryInRoot(root: string, path: string, mode: number): void
  /** Removes a tree without following links or crossing mounts; rename-free, chattr not attempted. Absent: succeeds. A mount below: `failed_precondition`. */
  removeTree(path: string): Promise<void>
  /** Bytes and inodes used by a tree, by du's rules, in a killable process. */
  diskUsage(path: string, signal: AbortSignal): Promise<DiskUsage>
  /** The same of several trees, by path; one pair of processes for all. Trees that are not there are left out. */
  diskUsages(paths: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, DiskUsage>>
}

export interface DiskUsage {
  readonly usedBytes: bigint
  readonly inodes: bigint
}

/** Sockets that Node cannot open itself. */
export interface Sockets {
  /** Connects to a SOCK_SEQPACKET unix socket (conmon's attach socket). Paths over 107 bytes go through /proc/self/fd. */
  connectSeqpacket(path: string): Promise<SeqpacketConnection>
  /** Listens on a unix socket and receives one file descriptor by SCM_RIGHTS (the console socket of runtime-spec). */
  receiveFd(path: string): Promise<FdReceiver>
  /** Terminal size: TIOCSWINSZ. */
  setTerminalSize(fd: number, size: { readonly columns: number; readonly rows: number }): void
}

export interface SeqpacketConnection extends Disposable {
  /** Packets in order; ends when the peer closed. Always drained by a thread of its own. */
  readonly packets: AsyncIterable<Buffer>
  /** Sends one packet; waits while the peer is slow. */
  send(packet: Uint8Array): Promise<void>
  /** Half-close: no more packets from us. */
  end(): void
}

export interface FdReceiver extends Disposable {
  readonly path: string
  /** The fd, ours to close. Rejects on abort. */
  receive(signal: AbortSignal): Promise<number>
}
