import { existsSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const root = '/sys/fs/cgroup'

/** Removes the empty cgroups at and below `path` in every hierarchy (v1, hybrid or v2), tried for 5 s while something in them ends. */
export async function removeCgroups(path: string): Promise<void> {
  const places = ['', ...directories(root)].map((hierarchy) => join(root, hierarchy, path))
  for (let attempt = 0; attempt < 50; attempt++) {
    for (const place of places) removeBelow(place)
    if (!places.some((place) => existsSync(place))) return
    await sleep(100)
  }
  console.error(`busy cgroups stay behind: ${path}`)
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
