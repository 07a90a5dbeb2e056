import { existsSync, writeFileSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { delay } from '@coracle/base/signals'
import { sendSignal } from '../pidfd.ts'
import { identify } from '../proc.ts'
import type { Hierarchy } from './layout.ts'
import { pidsBelow, subtree } from './tree.ts'

const SIGKILL = 9
const emptyMs = 5000

/** Sends SIGKILL to all below `directory` and waits for them, at most 5 s. Nobody forks away: all die at once, or are frozen before. */
export async function killCgroup(hierarchy: Hierarchy, directory: string): Promise<void> {
  let wait = 2
  for (const until = performance.now() + emptyMs; ; wait = Math.min(wait * 2, 100)) {
    if (pidsBelow(directory).length === 0) return
    if (hierarchy.version === 2 && existsSync(`${directory}/cgroup.kill`)) write(`${directory}/cgroup.kill`, '1')
    else killFrozen(hierarchy, directory)
    if (performance.now() > until) return
    await delay(wait)
  }
}

function killFrozen(hierarchy: Hierarchy, directory: string): void {
  const [file, frozen, thawed] = hierarchy.version === 2 ? ['cgroup.freeze', '1', '0'] : ['freezer.state', 'FROZEN', 'THAWED']
  const canFreeze = existsSync(`${directory}/${file}`)
  if (canFreeze) write(`${directory}/${file}`, frozen)
  try {
    for (const pid of pidsBelow(directory)) {
      const target = identify(pid)
      if (target !== undefined && pid !== process.pid) sendSignal(target, SIGKILL)
    }
  } finally {
    // Children first: one that was frozen by itself (a paused container) must die, too.
    if (canFreeze) for (const path of subtree(directory).toReversed()) write(`${path}/${file}`, thawed)
  }
}

// The cgroup may go away at any moment: that is what is wanted.
function write(path: string, text: string): void {
  unlessErrno(['ENOENT', 'ENODEV'], () => writeFileSync(path, text), undefined)
}
