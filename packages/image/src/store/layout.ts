// Where things lie. All below one root on one file system, so that every move is a rename.
import { mkdirSync } from 'node:fs'
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
    layer: (number) => join(root, 'layers', number.toString(36)),
    tree: (number) => join(root, 'trees', number.toString(36)),
  }
  mkdirSync(root, { recursive: true, mode: 0o711 })
  // Unpacked files are as readable as their image made them: nobody but root may reach them.
  for (const directory of [
    layout.layers,
    layout.trees,
    layout.staging,
    layout.containers,
    layout.trash,
    layout.cache,
    layout.mounts,
  ])
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  return layout
}
