// Ending a process and everything that came of it.
import { fstatSync, readlinkSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { delay } from '@coracle/base/signals'
import type { ProcessIdentity } from '@coracle/host'
import type { OciRuntimeDeps } from '../context.ts'

const SIGHUP = 1
const SIGKILL = 9
const SIGSTOP = 19
const hangupMs = 200
const hangupPollMs = 20
// A fork may slip between looking and killing: look again until nothing is left.
const rounds = 10
const roundMs = 3

export interface Tree {
  readonly root: ProcessIdentity
  /** The container's cgroup, in which strays are looked for. */
  readonly cgroup: string | undefined
  /** Pipes or terminal that were made for this tree, as /proc/PID/fd names them: whoever holds one belongs to it. */
  readonly stdio: ReadonlySet<string>
}

/** SIGHUP to all and a moment to obey when `hangup`, then SIGKILL until none is left. Resolves when all are gone, or given up on. */
export async function endTree(deps: OciRuntimeDeps, tree: Tree, hangup: boolean): Promise<void> {
  const { processes } = deps
  // Remembered from the start: children of a process that ended belong to nobody's tree any more.
  const known = new Map<string, ProcessIdentity>([[keyOf(tree.root), tree.root]])
  const signalAll = (signal: number) => {
    for (const process of known.values()) processes.signal(process, signal)
  }
  const someAlive = () => [...known.values()].some((process) => processes.isAlive(process))
  collect(deps, tree, known)
  if (hangup) {
    signalAll(SIGHUP)
    for (let waited = 0; waited < hangupMs && someAlive(); waited += hangupPollMs) await delay(hangupPollMs)
  }
  // Stopped processes cannot fork: when a look finds nobody new, all are known.
  do signalAll(SIGSTOP)
  while (collect(deps, tree, known))
  for (let round = 0; round < rounds && someAlive(); round++) {
    signalAll(SIGKILL)
    await delay(roundMs * (round + 1))
    collect(deps, tree, known)
  }
}

const keyOf = ({ pid, startTime }: ProcessIdentity): string => `${pid}:${startTime}`

/** Adds whoever came of the known ones. False when that was nobody new. */
function collect(
  { processes, cgroups }: Pick<OciRuntimeDeps, 'processes' | 'cgroups'>,
  tree: Tree,
  known: Map<string, ProcessIdentity>,
): boolean {
  const before = known.size
  const below = new Set<string>()
  for (const [key, process] of [...known]) {
    // One look at all processes is dear; below a process that was looked at there is nothing more to see.
    if (below.has(key) || !processes.isAlive(process)) continue
    for (const found of processes.descendants(process.pid)) {
      below.add(keyOf(found))
      known.set(keyOf(found), found)
    }
  }
  for (const found of strays({ processes, cgroups }, tree)) known.set(keyOf(found), found)
  return known.size > before
}

// Whoever forked twice is init's child, in a session of its own; what it kept is its stdio.
function strays(deps: Pick<OciRuntimeDeps, 'processes' | 'cgroups'>, { cgroup, stdio }: Tree): readonly ProcessIdentity[] {
  if (cgroup === undefined || cgroup === '/' || stdio.size === 0) return []
  return deps.cgroups
    .processes(cgroup)
    .filter((pid) => stdioOf(pid).some((name) => stdio.has(name)))
    .flatMap((pid) => deps.processes.identify(pid) ?? [])
}

/** Pipes and terminals among the first three descriptors of a process. Gone already: none. */
export function stdioOf(pid: number): readonly string[] {
  return [0, 1, 2]
    .map((fd) => unlessErrno(['ENOENT', 'ESRCH', 'EACCES'], () => readlinkSync(`/proc/${pid}/fd/${fd}`), ''))
    .filter((target) => target.startsWith('pipe:') || target.startsWith('/dev/pts/'))
}

/** The name that /proc/PID/fd gives to the pipe of which `fd` is one end. */
export const pipeName = (fd: number): string => `pipe:[${fstatSync(fd).ino}]`
