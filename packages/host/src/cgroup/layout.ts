// How the cgroup hierarchies of this machine are mounted (cgroups(7)). Everything is read below one root, so that tests can fake it.
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { CodedError } from '@coracle/base/errors'
import type { CgroupMode } from '../host.ts'

export interface Hierarchy {
  readonly root: string
  readonly version: 1 | 2
  /** Of a v1 hierarchy: the controllers bound to it; of v2 those available at its root. None for `name=systemd`. */
  readonly controllers: readonly string[]
}

export interface CgroupLayout {
  readonly mode: CgroupMode
  readonly hierarchies: readonly Hierarchy[]
  readonly controllers: ReadonlySet<string>
  readonly swapAccounting: boolean
}

/** Throws `failed_precondition` when no hierarchy is mounted below `root`. */
export function readLayout(root: string): CgroupLayout {
  const hierarchies = existsSync(`${root}/cgroup.controllers`) ? [unified(root)] : legacy(root)
  if (hierarchies.length === 0) throw new CodedError('failed_precondition', `no cgroup hierarchy is mounted below ${root}`)
  const mode = modeOf(hierarchies)
  return {
    mode,
    hierarchies,
    controllers: new Set(hierarchies.flatMap((hierarchy) => hierarchy.controllers)),
    swapAccounting: hierarchies.some(accountsForSwap),
  }
}

function modeOf(hierarchies: readonly Hierarchy[]): CgroupMode {
  if (hierarchies.every((hierarchy) => hierarchy.version === 2)) return 'v2'
  return hierarchies.some((hierarchy) => hierarchy.version === 2) ? 'hybrid' : 'v1'
}

function unified(root: string): Hierarchy {
  return { root, version: 2, controllers: words(readFileSync(`${root}/cgroup.controllers`, 'latin1')) }
}

function legacy(root: string): readonly Hierarchy[] {
  const names = existsSync(root) ? readdirSync(root).toSorted() : []
  return (
    names
      .map((name) => ({ name, path: `${root}/${name}` }))
      // `cpu` may be a link to `cpu,cpuacct`.
      .filter(({ path }) => lstatSync(path).isDirectory() && existsSync(`${path}/cgroup.procs`))
      .map(({ name, path }) =>
        existsSync(`${path}/cgroup.controllers`)
          ? unified(path)
          : { root: path, version: 1, controllers: name === 'systemd' ? [] : name.split(',') },
      )
  )
}

function accountsForSwap({ root, version, controllers }: Hierarchy): boolean {
  if (!controllers.includes('memory')) return false
  if (version === 1) return existsSync(`${root}/memory.memsw.limit_in_bytes`)
  // The root of v2 has no limits: any cgroup below it tells.
  return readdirSync(root, { withFileTypes: true }).some(
    (entry) => entry.isDirectory() && existsSync(`${root}/${entry.name}/memory.swap.max`),
  )
}

export const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '')

/** The hierarchy that has `controller`, else the first of the list that there is. */
export function mainHierarchy(layout: CgroupLayout, controllers: readonly string[]): Hierarchy {
  for (const controller of controllers)
    for (const hierarchy of layout.hierarchies) if (hierarchy.controllers.includes(controller)) return hierarchy
  // readLayout() does not return an empty list.
  return layout.hierarchies[0] as Hierarchy
}

/** The path of a process in /proc/PID/cgroup: the memory controller's line on v1, else the unified one. */
export function pathInCgroupFile(text: string): string | undefined {
  let unifiedPath: string | undefined
  for (const line of text.split('\n')) {
    const [, controllers, ...rest] = line.split(':')
    if (controllers === undefined) continue
    // A cgroup's name may hold colons; that of a removed one ends in ` (deleted)`.
    const path = rest.join(':').replace(/ \(deleted\)$/, '')
    if (controllers.split(',').includes('memory')) return path
    if (controllers === '') unifiedPath = path
  }
  return unifiedPath
}
