import { readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

const root = '/sys/fs/cgroup'

/** Removes the empty cgroups at and below `path` in every hierarchy (v1, hybrid or v2). What is busy stays. */
export async function removeCgroups(path: string): Promise<void> {
  const hierarchies = ['', ...directories(root)]
  for (const hierarchy of hierarchies) removeBelow(join(root, hierarchy, path))
}

function removeBelow(directory: string): void {
  for (const name of directories(directory)) removeBelow(join(directory, name))
  try {
    rmdirSync(directory)
  } catch {
    // Absent in this hierarchy, or busy.
  }
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    return []
  }
}
