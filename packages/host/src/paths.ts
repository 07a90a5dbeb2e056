import type { Paths } from './host.ts'
import { makeDirectoryInRoot, readInRoot, typeInRoot } from './in-root.ts'
import { diskUsage, diskUsages, makeDirectory, probe, realPaths } from './probe.ts'
import { removeTree } from './remove-tree.ts'

export function createPaths(): Paths {
  return { probe, realPaths, makeDirectory, readInRoot, typeInRoot, makeDirectoryInRoot, removeTree, diskUsage, diskUsages }
}
