// Layers as a pod with a user namespace must see them: owned by its ids, without touching a file.
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { unlessErrno } from '@coracle/base/errno'
import type { ImagesDeps } from './options.ts'

export interface LayersToMap {
  /** Where the idmapped mounts are for the moment. */
  readonly directory: string
  readonly layers: readonly string[]
  readonly usernsPath: string
  readonly use: (paths: readonly string[]) => void
}

/**
 * Calls `use` with the paths at which the layers are idmapped. One mount for all layers of one directory; gone again afterwards: an
 * overlay that was mounted meanwhile has mounts of its own.
 */
export async function withIdmappedLayers(deps: ImagesDeps, request: LayersToMap, signal: AbortSignal): Promise<void> {
  const { directory, layers, usernsPath, use } = request
  const parents = [...new Set(layers.map((layer) => dirname(layer)))]
  const view = (parent: string): string => join(directory, String(parents.indexOf(parent)))
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  try {
    for (const source of parents) {
      const destination = view(source)
      await deps.mounts.mountClone({ source, destination, usernsPath, recursive: false }, signal)
    }
    use(layers.map((layer) => join(view(dirname(layer)), basename(layer))))
  } finally {
    removeViews(deps, directory)
  }
}

/** What a crash may have left of `withIdmappedLayers`. Absent: succeeds. */
export function removeViews(deps: ImagesDeps, directory: string): void {
  for (const name of unlessErrno(['ENOENT'], () => readdirSync(directory), [])) {
    deps.mounts.detach(join(directory, name))
    rmdirSync(join(directory, name))
  }
  unlessErrno(['ENOENT'], () => rmdirSync(directory), undefined)
}
