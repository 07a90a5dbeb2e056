import { hold, holdBeneath } from './held-path.ts'
import type { Paths } from './host.ts'
import { makeDirectoryInRoot, readInRoot, typeInRoot } from './in-root.ts'
import { diskUsage, diskUsages, makeDirectory, probe } from './probe.ts'
import { removeTree } from './remove-tree.ts'

export function createPaths(): Paths {
  return {
    probe,
    hold,
    holdBeneath,
    makeDirectory,
    readInRoot,
    typeInRoot,
    makeDirectoryInRoot,
    removeTree,
    diskUsage,
    diskUsages,
  }
}
