// Collects the children that posix_spawn(3) started, each by its pid: the event loop's own children are left to it.
import { constants as os } from 'node:os'
import { libc } from './libc.ts'

export interface Ended {
  readonly exitCode: number | null
  readonly signal: string | null
}

const WNOHANG = 1
const WEXITED = 4
const WNOWAIT = 0x01000000
const P_ALL = 0
// siginfo_t has 128 bytes; si_pid follows three ints and a gap.
const siginfoBytes = 128
const pidOffset = 16
// Against a signal that got lost, and to keep the event loop alive.
const sweepMs = 5000

interface Child {
  readonly onEnd: (ended: Ended) => void
  holdsLoop: boolean
}

const children = new Map<number, Child>()
let timer: NodeJS.Timeout | undefined
let listens = false

/** Resolves when the child has ended, having collected it. To be called right after its start. */
export function collect(pid: number): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  children.set(pid, { onEnd: resolve, holdsLoop: true })
  if (!listens) {
    listens = true
    process.on('SIGCHLD', onSignal)
    // It may have ended before we listened.
    setImmediate(sweep)
  }
  keepAwake()
  return promise
}

/** The event loop no longer stays alive for this child. */
export function release(pid: number): void {
  const child = children.get(pid)
  if (child !== undefined) child.holdsLoop = false
  keepAwake()
}

export const isCollected = (pid: number): boolean => !children.has(pid)

/** Collects who has ended without asking for each child: a monitor for every container is one, hundreds where many run. */
function onSignal(): void {
  let pid = someEnded()
  while (pid !== undefined && conclude(pid)) pid = someEnded()
  // One that is not ours, such as the event loop's own, stands before others.
  if (pid !== undefined) sweep()
  keepAwake()
}

/** A child that has ended and is not collected yet, left as it is (waitid(2)). */
function someEnded(): number | undefined {
  const info = Buffer.alloc(siginfoBytes)
  if (libc.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) !== 0) return undefined
  return info.readInt32LE(pidOffset) || undefined
}

/** False when it is not ours, or has not ended. */
function conclude(pid: number): boolean {
  const child = children.get(pid)
  const ended = child === undefined ? undefined : poll(pid)
  if (child === undefined || ended === undefined) return false
  children.delete(pid)
  child.onEnd(ended)
  return true
}

function sweep(): void {
  for (const pid of children.keys()) conclude(pid)
  keepAwake()
}

function poll(pid: number): Ended | undefined {
  const status = new Int32Array(1)
  const result = libc.waitpid(pid, status, WNOHANG)
  if (result === 0) return undefined
  // Nobody else waits for it; should it happen, its fate is unknown, but it is gone.
  if (result < 0) return { exitCode: null, signal: null }
  return decodeStatus(status[0] ?? 0)
}

/** wait(2)'s status word. */
export function decodeStatus(status: number): Ended {
  const number = status & 0x7f
  if (number === 0) return { exitCode: (status >> 8) & 0xff, signal: null }
  return { exitCode: null, signal: signalNames.get(number) ?? `SIG${number}` }
}

const signalNames: ReadonlyMap<number, string> = new Map(
  Object.entries(os.signals)
    // Two names have one number: SIGABRT and SIGIOT, SIGIO and SIGPOLL.
    .filter(([name]) => name !== 'SIGIOT' && name !== 'SIGPOLL' && name !== 'SIGUNUSED')
    .map(([name, number]) => [number, name]),
)

function keepAwake(): void {
  if (children.size === 0) {
    clearInterval(timer)
    timer = undefined
    return
  }
  timer ??= setInterval(sweep, sweepMs)
  if ([...children.values()].some((child) => child.holdsLoop)) timer.ref()
  else timer.unref()
}
