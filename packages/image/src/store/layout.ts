// Where things lie. All below one root on one file system, so that every move is a rename.
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

export interface Layout {
  readonly root: string
  readonly database: string
  /** Finished layers, by number in base 36: short, because overlay takes all their paths in one page. */
  readonly layers: string
  /** Tree records of the layers, by the same numbers. */
  readonly trees: string
  /** Layers being unpacked. */
  readonly staging: string
  /** Writable layers of containers, by key. */
  readonly containers: string
  /** What waits for removal. */
  readonly trash: string
  /** What can be made again. */
  readonly cache: string
  /** Mount points of root file systems. Below the state directory: they do not survive a reboot. */
  readonly mounts: string
  /** Mount points of idmapped root file systems, each in a directory that its pod's root alone may go through. */
  readonly idmappedMounts: string
  /** Layers idmapped for the moment in which an overlay is mounted, by key of the root file system. */
  readonly idmappedLayers: string
  layer(number: number): string
  tree(number: number): string
}

export function createLayout(root: string, state: string): Layout {
  const layout: Layout = {
    root,
    database: join(root, 'images.db'),
    layers: join(root, 'layers'),
    trees: join(root, 'trees'),
    staging: join(root, 'staging'),
    containers: join(root, 'containers'),
    trash: join(root, 'trash'),
    cache: join(root, 'cache'),
    mounts: join(state, 'rootfs'),
    idmappedMounts: join(state, 'userns'),
    idmappedLayers: join(state, 'idmap'),
    layer: (number) => join(root, 'layers', number.toString(36)),
    tree: (number) => join(root, 'trees', number.toString(36)),
  }
  mkdirSync(root, { recursive: true, mode: 0o711 })
  for (const directory of [state, layout.idmappedMounts]) {
    mkdirSync(directory, { recursive: true, mode: 0o711 })
    // Runtimes go to an idmapped root as the pod's root.
    chmodSync(directory, 0o711)
  }
  const { layers, trees, staging, containers, trash, cache, mounts, idmappedLayers } = layout
  // Unpacked files are as readable as their image made them: nobody but root may reach them.
  for (const directory of [layers, trees, staging, containers, trash, cache, mounts, idmappedLayers])
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  return layout
}
