// Ending a process and everything that came of it.
import { delay } from '@coracle/base/signals'
import type { Processes, ProcessIdentity } from '@coracle/host'

const SIGHUP = 1
const SIGKILL = 9
const hangupMs = 200
// A fork may slip between looking and killing: look again until nothing is left.
const rounds = 10
const roundMs = 5

/** SIGHUP to all and a moment to obey when `hangup`, then SIGKILL until none is left. Resolves when `root` is gone or after about a second. */
export async function endTree(processes: Processes, root: ProcessIdentity, hangup: boolean): Promise<void> {
  // Remembered from the start: children of a process that ended belong to nobody's tree any more.
  const known = new Map<string, ProcessIdentity>()
  const collect = () => {
    for (const process of treeOf(processes, [root, ...known.values()])) known.set(`${process.pid}:${process.startTime}`, process)
    return [...known.values()].filter((process) => processes.isAlive(process))
  }
  let alive = collect()
  if (hangup && alive.length > 0) {
    for (const process of alive) processes.signal(process, SIGHUP)
    for (let waited = 0; waited < hangupMs && alive.length > 0; waited += 20) {
      await delay(20)
      alive = collect()
    }
  }
  for (let round = 0; round < rounds && alive.length > 0; round++) {
    for (const process of alive) processes.signal(process, SIGKILL)
    await delay(roundMs * (round + 1))
    alive = collect()
  }
}

function treeOf(processes: Processes, roots: readonly ProcessIdentity[]): readonly ProcessIdentity[] {
  // A pid that was reused has other descendants, which are none of ours.
  return roots.filter((root) => processes.isAlive(root)).flatMap((root) => [root, ...processes.descendants(root.pid)])
}
