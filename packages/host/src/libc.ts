// The C library by FFI. koffi is loaded at the first call, each function declared at its first use: a daemon that only spawns pays nothing.
import { createRequire } from 'node:module'
import { getSystemErrorMap } from 'node:util'
import { CodedError } from '@coracle/base/errors'

type Koffi = typeof import('koffi').default
type Pointer = Uint8Array | string | null
type Foreign = (...args: unknown[]) => unknown

const require = createRequire(import.meta.url)
let koffi: Koffi | undefined
let library: ReturnType<Koffi['load']> | undefined

function declare(prototype: string): Foreign & { readonly async?: Foreign } {
  // The package's CommonJS door exports the same object as the module that its types describe.
  koffi ??= require('koffi') as Koffi
  library ??= koffi.load('libc.so.6')
  return library.func(prototype) as Foreign
}

function lazily(prototype: string): Foreign {
  let declared: Foreign | undefined
  return (...args) => {
    declared ??= declare(prototype)
    return declared(...args)
  }
}

/** The errno of the last call. Read it before anything else is called. */
export const errno = (): number => koffi?.errno() ?? 0

/** A failed system call in the shape of Node's own: `code` is the errno's name. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError'
  readonly code: string
  readonly errno: number
  constructor(number: number) {
    const [code, text] = getSystemErrorMap().get(-number) ?? [`E${number}`, 'unknown error']
    super(`${code}: ${text}`)
    this.code = code
    this.errno = number
  }
}

/** The failure of the call just made, as `internal`, with what was being done in front. */
export function callFailed(action: string, number = errno()): CodedError {
  return new CodedError('internal', action, { cause: new SystemCallError(number) })
}

// Numbers of calls without a wrapper in the C library of Debian 12; from 424 on the same on every architecture.
export const SYS = {
  bpf: process.arch === 'arm64' ? 280 : 321,
  schedSetattr: process.arch === 'arm64' ? 274 : 314,
  pidfdSendSignal: 424,
  pidfdOpen: 434,
  closeRange: 436,
  openat2: 437,
} as const

// syscall(2) is variadic; on x86-64 and arm64 Linux integer arguments of variadic functions travel as those of others.
const syscallWords = lazily('long syscall(long n, long a, long b, long c, long d)')
const syscallAttributes = lazily('long syscall(long n, long pid, const void *attributes, long flags)')
const syscallPath = lazily('long syscall(long n, long a, const void *b, void *c, long d)')

interface Received {
  readonly result: number
  /** What was written of the control buffer. */
  readonly control: Buffer
}

let recvmsgDeclared: Foreign | undefined

/** recvmsg(2) of at most `maxBytes` data, which is dropped, and `maxControlBytes` of control messages. */
function recvmsg(fd: number, maxBytes: number, maxControlBytes: number, flags: number): Received {
  recvmsgDeclared ??= declareRecvmsg()
  const control = Buffer.alloc(maxControlBytes)
  const message = {
    name: null,
    nameLength: 0,
    parts: [{ base: Buffer.alloc(maxBytes), length: maxBytes }],
    partCount: 1,
    control,
    controlLength: maxControlBytes,
    flags: 0,
  }
  // The C function returns a long.
  const result = recvmsgDeclared(fd, message, flags) as number
  return { result, control: control.subarray(0, result < 0 ? 0 : Number(message.controlLength)) }
}

function declareRecvmsg(): Foreign {
  koffi ??= require('koffi') as Koffi
  koffi.struct('coracle_iovec', { base: 'void *', length: 'size_t' })
  koffi.struct('coracle_msghdr', {
    name: 'void *',
    nameLength: 'uint32_t',
    parts: 'coracle_iovec *',
    partCount: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  })
  return declare('long recvmsg(int fd, _Inout_ coracle_msghdr *message, int flags)')
}

type OnStruct = (struct: Uint8Array) => number
type OnSignals = (attributes: Uint8Array, signals: Uint8Array) => number

export const libc = {
  /** bpf(2). */
  bpf: lazily('long syscall(long n, long command, void *attributes, unsigned int size)') as (
    n: number,
    command: number,
    attributes: Uint8Array,
    size: number,
  ) => number,
  syscall: syscallWords as (n: number, a: number, b: number, c: number, d: number) => number,
  /** `path` as bytes must end in NUL. */
  openat2: (directory: number, path: string | Uint8Array, how: Uint8Array) =>
    syscallPath(SYS.openat2, directory, typeof path === 'string' ? Buffer.from(`${path}\0`) : path, how, how.length) as number,
  mount: lazily('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)') as (
    source: string,
    target: string,
    type: string | null,
    flags: number,
    data: string | null,
  ) => number,
  umount2: lazily('int umount2(const char *target, int flags)') as (target: string, flags: number) => number,
  unshare: lazily('int unshare(int flags)') as (flags: number) => number,
  setns: lazily('int setns(int fd, int kind)') as (fd: number, kind: number) => number,
  openTree: lazily('int open_tree(int directory, const char *path, unsigned int flags)') as (
    directory: number,
    path: string,
    flags: number,
  ) => number,
  moveMount: lazily('int move_mount(int from, const char *source, int to, const char *target, unsigned int flags)') as (
    from: number,
    source: string,
    to: number,
    target: string,
    flags: number,
  ) => number,
  fsopen: lazily('int fsopen(const char *type, unsigned int flags)') as (type: string, flags: number) => number,
  fsconfig: lazily('int fsconfig(int context, unsigned int command, const char *key, const char *value, int aux)') as (
    context: number,
    command: number,
    key: string | null,
    value: string | null,
    aux: number,
  ) => number,
  fsmount: lazily('int fsmount(int context, unsigned int flags, unsigned int attributes)') as (
    context: number,
    flags: number,
    attributes: number,
  ) => number,
  mountSetattr: lazily(
    'int mount_setattr(int directory, const char *path, unsigned int flags, void *attributes, size_t length)',
  ) as (directory: number, path: string, flags: number, attributes: Uint8Array, length: number) => number,
  /** clone(2) whose child runs a function of the C library. */
  clone: lazily('int clone(void *function, void *stack, int flags, size_t argument)') as (
    fn: bigint,
    stack: Uint8Array,
    flags: number,
    argument: number,
  ) => number,
  /** The address of a function of the C library. */
  dlsym: lazily('void *dlsym(void *library, const char *name)') as (library: null, name: string) => bigint,
  kill: lazily('int kill(int pid, int signal)') as (pid: number, signal: number) => number,
  sigmask: lazily('int pthread_sigmask(int how, const void *set, void *old)') as (
    how: number,
    set: Uint8Array,
    old: Uint8Array | null,
  ) => number,
  setCancelType: lazily('int pthread_setcanceltype(int type, void *old)') as (type: number, old: Int32Array) => number,
  sethostname: lazily('int sethostname(const void *name, size_t length)') as (name: Pointer, length: number) => number,
  statvfs: lazily('int statvfs(const char *path, void *out)') as (path: string, out: Uint8Array) => number,
  statx: lazily('int statx(int directory, const char *path, int flags, unsigned int mask, void *out)') as (
    directory: number,
    path: string,
    flags: number,
    mask: number,
    out: Uint8Array,
  ) => number,
  ioctl: lazily('int ioctl(int fd, unsigned long request, void *argument)') as (
    fd: number,
    request: number,
    argument: Uint8Array,
  ) => number,
  pipe2: lazily('int pipe2(void *ends, int flags)') as (ends: Int32Array, flags: number) => number,
  socket: lazily('int socket(int domain, int type, int protocol)') as (domain: number, type: number, protocol: number) => number,
  connect: lazily('int connect(int fd, const void *address, unsigned int length)') as (
    fd: number,
    address: Uint8Array,
    length: number,
  ) => number,
  bind: lazily('int bind(int fd, const void *address, unsigned int length)') as (
    fd: number,
    address: Uint8Array,
    length: number,
  ) => number,
  listen: lazily('int listen(int fd, int backlog)') as (fd: number, backlog: number) => number,
  socketpair: lazily('int socketpair(int domain, int type, int protocol, void *ends)') as (
    domain: number,
    type: number,
    protocol: number,
    ends: Int32Array,
  ) => number,
  fcntl: lazily('int fcntl(int fd, int command, long argument)') as (fd: number, command: number, argument: number) => number,
  waitpid: lazily('int waitpid(int pid, void *status, int options)') as (
    pid: number,
    status: Int32Array,
    options: number,
  ) => number,
  schedGetScheduler: lazily('int sched_getscheduler(int pid)') as (pid: number) => number,
  /** sched_setattr(2). */
  schedSetAttributes: (pid: number, attributes: Uint8Array): number =>
    syscallAttributes(SYS.schedSetattr, pid, attributes, 0) as number,
  waitid: lazily('int waitid(int kind, unsigned int id, void *info, int options)') as (
    kind: number,
    id: number,
    info: Uint8Array,
    options: number,
  ) => number,
  posixSpawn: lazily(
    'int posix_spawn(void *pid, const char *path, const void *actions, const void *attributes, const char **argv, const char **env)',
  ) as (
    pid: Int32Array,
    path: string,
    actions: Uint8Array,
    attributes: Uint8Array,
    argv: readonly (string | null)[],
    env: readonly (string | null)[],
  ) => number,
  fileActionsInit: lazily('int posix_spawn_file_actions_init(void *actions)') as OnStruct,
  fileActionsDestroy: lazily('int posix_spawn_file_actions_destroy(void *actions)') as OnStruct,
  fileActionsDup2: lazily('int posix_spawn_file_actions_adddup2(void *actions, int fd, int target)') as (
    actions: Uint8Array,
    fd: number,
    target: number,
  ) => number,
  fileActionsOpen: lazily(
    'int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)',
  ) as (actions: Uint8Array, fd: number, path: string, flags: number, mode: number) => number,
  fileActionsChdir: lazily('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)') as (
    actions: Uint8Array,
    path: string,
  ) => number,
  spawnAttributesInit: lazily('int posix_spawnattr_init(void *attributes)') as OnStruct,
  spawnAttributesDestroy: lazily('int posix_spawnattr_destroy(void *attributes)') as OnStruct,
  spawnAttributesSetFlags: lazily('int posix_spawnattr_setflags(void *attributes, short flags)') as (
    attributes: Uint8Array,
    flags: number,
  ) => number,
  spawnAttributesSetDefaults: lazily('int posix_spawnattr_setsigdefault(void *attributes, const void *signals)') as OnSignals,
  spawnAttributesSetMask: lazily('int posix_spawnattr_setsigmask(void *attributes, const void *signals)') as OnSignals,
  accept4: lazily('int accept4(int fd, void *address, void *length, int flags)') as (
    fd: number,
    address: null,
    length: null,
    flags: number,
  ) => number,
  send: lazily('long send(int fd, const void *data, size_t length, int flags)') as (
    fd: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  recv: lazily('long recv(int fd, void *data, size_t length, int flags)') as (
    fd: number,
    data: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  recvmsg,
  read: lazily('long read(int fd, void *data, size_t length)') as (fd: number, data: Uint8Array, length: number) => number,
  eventfd: lazily('int eventfd(unsigned int value, int flags)') as (value: number, flags: number) => number,
  poll: lazily('int poll(void *fds, unsigned long count, int timeout)') as (
    fds: Uint8Array,
    count: number,
    timeout: number,
  ) => number,
  getsockopt: lazily('int getsockopt(int fd, int level, int name, void *value, void *length)') as (
    fd: number,
    level: number,
    name: number,
    value: Uint8Array,
    length: Uint8Array,
  ) => number,
  shutdown: lazily('int shutdown(int fd, int how)') as (fd: number, how: number) => number,
  unlinkat: lazily('int unlinkat(int directory, const void *name, int flags)') as (
    directory: number,
    name: Uint8Array,
    flags: number,
  ) => number,
}

// Declarations for koffi's own threads, where calls may wait for a disk.
function lazilyOffThread(prototype: string): (...args: unknown[]) => Promise<number> {
  let declared: (Foreign & { readonly async?: Foreign }) | undefined
  return (...args) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    declared ??= declare(prototype)
    // Every function that koffi declares has `async`.
    declared.async?.(...args, (err: unknown, result: number) => (err === null ? resolve(result) : reject(err)))
    return promise
  }
}

/** Calls that run off the main thread. They resolve to the call's result; errno is lost. */
export const offThread = {
  syncfs: lazilyOffThread('int syncfs(int fd)') as (fd: number) => Promise<number>,
  openTree: lazilyOffThread('int open_tree(int directory, const char *path, unsigned int flags)') as (
    directory: number,
    path: string,
    flags: number,
  ) => Promise<number>,
  umount2: lazilyOffThread('int umount2(const char *target, int flags)') as (target: string, flags: number) => Promise<number>,
}
