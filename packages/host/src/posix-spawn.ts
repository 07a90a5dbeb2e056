// posix_spawn(3): unlike fork(2) it does not copy the page tables of a big process, which costs some 3 ms a program.
import { closeSync } from 'node:fs'
import { constants as os } from 'node:os'
import { libc, SYS, SystemCallError } from './libc.ts'

const SETSIGDEF = 0x04
const SETSIGMASK = 0x08
const SETSID = 0x80
const O_RDWR = 2
// close_range(2), Linux 5.11.
const CLOSE_RANGE_CLOEXEC = 4
const F_DUPFD_CLOEXEC = 1030
// glibc's posix_spawnattr_t has 336 bytes, its posix_spawn_file_actions_t 80, sigset_t 128.
const structBytes = 512
const sigsetBytes = 128

export interface SpawnPlan {
  readonly path: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** By the child's fd number: a descriptor of ours, or undefined for /dev/null. All others are closed by close-on-exec. */
  readonly fds: readonly (number | undefined)[]
  readonly newSession: boolean
}

/** Starts a program and returns its pid; the caller has to wait for it. Throws SystemCallError. Strings must not contain NUL. */
export function posixSpawn(plan: SpawnPlan): number {
  using stack = new DisposableStack()
  const actions = stack.adopt(Buffer.alloc(structBytes), (actions) => libc.fileActionsDestroy(actions))
  check(libc.fileActionsInit(actions))
  for (const [target, fd] of plan.fds.entries()) {
    if (fd === undefined) check(libc.fileActionsOpen(actions, target, '/dev/null', O_RDWR, 0))
    else check(libc.fileActionsDup2(actions, outOfTheWay(fd, plan.fds.length, stack), target))
  }
  check(libc.fileActionsChdir(actions, plan.cwd))
  const attributes = stack.adopt(Buffer.alloc(structBytes), (attributes) => libc.spawnAttributesDestroy(attributes))
  check(libc.spawnAttributesInit(attributes))
  check(libc.spawnAttributesSetFlags(attributes, SETSIGDEF | SETSIGMASK | (plan.newSession ? SETSID : 0)))
  check(libc.spawnAttributesSetDefaults(attributes, allSignals))
  check(libc.spawnAttributesSetMask(attributes, Buffer.alloc(sigsetBytes)))
  const env = Object.entries(plan.env).map(([name, value]) => `${name}=${value}`)
  // What we inherited ourselves, or a library has opened carelessly, must not reach a container (CVE-2024-21626).
  libc.syscall(SYS.closeRange, 3, 0xffffffff, CLOSE_RANGE_CLOEXEC, 0)
  const pid = new Int32Array(1)
  check(libc.posixSpawn(pid, plan.path, actions, attributes, [...plan.argv, null], [...env, null]))
  // An array of one element.
  return pid[0] as number
}

function check(number: number): void {
  if (number !== 0) throw new SystemCallError(number)
}

// A descriptor below the number of targets could be overwritten before its turn; one that is its own target would stay close-on-exec.
function outOfTheWay(fd: number, targets: number, stack: DisposableStack): number {
  if (fd >= targets) return fd
  const copy = libc.fcntl(fd, F_DUPFD_CLOEXEC, targets)
  if (copy < 0) throw new SystemCallError(os.errno.EBADF)
  stack.defer(() => closeSync(copy))
  return copy
}

// Node ignores SIGPIPE, whoever started the daemon may ignore more, and glibc itself would leave two of its own ignored: programs begin
// with the defaults of all 64. Except SIGKILL and SIGSTOP, which cannot be changed.
const allSignals = Buffer.alloc(sigsetBytes)
allSignals.writeBigUInt64LE(0xffffffffffffffffn & ~(1n << (9n - 1n)) & ~(1n << (19n - 1n)))
