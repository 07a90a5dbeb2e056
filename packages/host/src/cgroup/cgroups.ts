import { existsSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { CodedError, failed } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import type { Cgroups } from '../host.ts'
import { keepLimits, setLimit } from './kept-limits.ts'
import { killCgroup } from './kill.ts'
import { type CgroupLayout, type Hierarchy, mainHierarchy, pathInCgroupFile, readLayout } from './layout.ts'
import { cgroupParts, makeCgroup, pidsBelow, properParts, readIfThere, removeCgroup } from './tree.ts'

const busyMs = 10_000

/** The cgroups below `root`; the layout is read once, at the first use. */
export function createCgroups(root = '/sys/fs/cgroup'): Cgroups {
  let known: CgroupLayout | undefined
  const layout = (): CgroupLayout => {
    known ??= readLayout(root)
    return known
  }
  // The freezer's view is the one to kill by; the memory controller's the one to look in.
  const freezer = () => mainHierarchy(layout(), ['freezer', 'pids', 'memory'])
  const memory = () => mainHierarchy(layout(), ['memory', 'pids', 'freezer'])
  return {
    get mode() {
      return layout().mode
    },
    get controllers() {
      return layout().controllers
    },
    get swapAccounting() {
      return layout().swapAccounting
    },
    ensure: (path) => ensure(layout(), memory(), path),
    exists: (path) => existsSync(directoryOf(memory(), path)),
    remove: (path) => remove(layout(), path),
    removeIfEmpty: (path) => removeIfEmpty(layout(), path),
    addProcess: (path, pid) => addProcess(layout(), path, pid),
    processes: (path) => pidsBelow(directoryOf(freezer(), path)),
    kill: async (path) => {
      properParts(path)
      await killCgroup(freezer(), directoryOf(freezer(), path))
    },
    oomKills: (path) => oomKills(memory(), path),
    keepLimits: (path) => keepLimits(layout(), path),
    setLimit: (path, limit) => setLimit(layout(), path, limit),
    pathOf,
  }
}

function directoryOf(hierarchy: Hierarchy, path: string): string {
  return [hierarchy.root, ...cgroupParts(path)].join('/')
}

function ensure(layout: CgroupLayout, main: Hierarchy, path: string): boolean {
  const parts = properParts(path)
  try {
    let isNew = false
    for (const hierarchy of layout.hierarchies) {
      const made = makeCgroup(hierarchy, parts)
      if (hierarchy === main) isNew = made
    }
    return isNew
  } catch (err) {
    throw failed(`make cgroup ${path}`, err)
  }
}

function removeIfEmpty(layout: CgroupLayout, path: string): void {
  const parts = properParts(path)
  for (const { root } of layout.hierarchies) {
    unlessErrno(['ENOENT', 'EBUSY', 'ENOTEMPTY'], () => rmdirSync([root, ...parts].join('/')), undefined)
  }
}

async function remove(layout: CgroupLayout, path: string): Promise<void> {
  const parts = properParts(path)
  const directories = layout.hierarchies.map((hierarchy) => [hierarchy.root, ...parts].join('/'))
  const until = performance.now() + busyMs
  for (let wait = 2; ; wait = Math.min(wait * 2, 500)) {
    const busy = directories.filter((directory) => !attempt(path, directory))
    if (busy.length === 0) return
    if (performance.now() > until)
      throw new CodedError(
        'unavailable',
        `remove cgroup ${path}: ${busy[0]} is still busy with processes ${pidsBelow(busy[0] ?? '')
          .slice(0, 8)
          .join(' ')}`,
      )
    await delay(wait)
  }
}

function attempt(path: string, directory: string): boolean {
  try {
    return removeCgroup(directory)
  } catch (err) {
    throw failed(`remove cgroup ${path}`, err)
  }
}

function addProcess(layout: CgroupLayout, path: string, pid: number): void {
  for (const hierarchy of layout.hierarchies) {
    const directory = directoryOf(hierarchy, path)
    try {
      writeFileSync(`${directory}/cgroup.procs`, String(pid))
    } catch (err) {
      throw failed(`move process ${pid} into cgroup ${directory}`, err)
    }
  }
}

function oomKills(hierarchy: Hierarchy, path: string): number {
  const file = hierarchy.version === 2 ? 'memory.events' : 'memory.oom_control'
  const line = /^oom_kill (\d+)$/m.exec(readIfThere(`${directoryOf(hierarchy, path)}/${file}`))
  return Number(line?.[1] ?? 0)
}

function pathOf(pid: number): string | undefined {
  return unlessErrno(['ENOENT', 'ESRCH'], () => pathInCgroupFile(readFileSync(`/proc/${pid}/cgroup`, 'utf8')), undefined)
}
