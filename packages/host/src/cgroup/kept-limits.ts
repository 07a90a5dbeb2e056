// The limits of a cgroup, to be put back after a change that failed half-way.
import { readdirSync, writeFileSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'
import { failed } from '@coracle/base/errors'
import type { KeptLimits } from '../host.ts'
import type { CgroupLayout, Hierarchy } from './layout.ts'
import { properParts, readIfThere } from './tree.ts'

/** What an OCI runtime's `update` writes. Files with a line for each device are not among them. */
const limitFiles: Readonly<Record<1 | 2, RegExp>> = {
  1: /^(memory\.((memsw\.|kmem\.|kmem\.tcp\.)?limit_in_bytes|soft_limit_in_bytes|swappiness)|cpu\.(shares|idle|cfs_quota_us|cfs_period_us|cfs_burst_us|rt_runtime_us|rt_period_us)|cpuset\.(cpus|mems)|pids\.max|hugetlb\..*limit_in_bytes|blkio\.(bfq\.)?weight)$/,
  2: /^(memory\.(min|low|high|max|swap\.(high|max)|zswap\.max|oom\.group)|cpu\.(max|max\.burst|weight|idle|uclamp\.(min|max))|cpuset\.(cpus|mems)|pids\.max|hugetlb\..*\.max|io\.(bfq\.)?weight)$/,
}

/** Some limits bound others (memory with swap above memory, quota below the parent's): what is refused first is taken later. */
const rounds = 3

/** Absent cgroups have no limits. Throws `invalid_argument` for a path that is none. */
export function keepLimits(layout: CgroupLayout, path: string): KeptLimits {
  const kept = layout.hierarchies.flatMap((hierarchy) => limitsBelow(hierarchy, properParts(path)))
  return {
    restore() {
      let changed: readonly (readonly [string, string])[] = []
      for (let round = 0; round < rounds; round++) {
        changed = kept.filter(([file, text]) => readIfThere(file) !== text)
        for (const [file, text] of changed) tryWrite(file, text)
      }
      return changed.map(([file]) => file).filter((file) => readIfThere(file) !== kept.find(([name]) => name === file)?.[1])
    },
  }
}

function limitsBelow(hierarchy: Hierarchy, parts: readonly string[]): readonly (readonly [string, string])[] {
  const directory = [hierarchy.root, ...parts].join('/')
  const names = unlessErrno(['ENOENT', 'ENODEV'], () => readdirSync(directory), [])
  return names
    .filter((name) => limitFiles[hierarchy.version].test(name))
    .map((name) => [`${directory}/${name}`, readIfThere(`${directory}/${name}`)])
}

function tryWrite(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch {
    // Told by what `restore` returns.
  }
}

/** Writes one limit, such as `cpu.cfs_quota_us`, where its controller is. Throws with the kernel's reason, or when there is no such file. */
export function setLimit(layout: CgroupLayout, path: string, limit: { readonly file: string; readonly value: string }): void {
  const controller = limit.file.split('.')[0] ?? ''
  const hierarchy = layout.hierarchies.find(({ controllers }) => controllers.includes(controller))
  const file = [hierarchy?.root ?? '', ...properParts(path), limit.file].join('/')
  try {
    // Never made: kernfs has only the files of its own.
    writeFileSync(file, limit.value, { flag: 'r+' })
  } catch (err) {
    throw failed(`write ${limit.value} to ${file}`, err)
  }
}
