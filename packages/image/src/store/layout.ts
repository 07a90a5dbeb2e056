// Where things lie: images below one root, containers below the same or another, so that every move is a rename.
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { unlessErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import { makeDirectories } from '@coracle/base/make-directories'

export interface Layout {
  readonly root: string
  /** `root`, and that of the containers where it is another. */
  readonly roots: readonly string[]
  readonly database: string
  /** The mark of a clean end. */
  readonly session: string
  /** Finished layers, by number in base 36: short, because overlay takes all their paths in one page. */
  readonly layers: string
  /** Tree records of the layers, by the same numbers. */
  readonly trees: string
  /** What the layers' archives were besides the contents of files (skeleton/recorder.ts), by the same numbers. */
  readonly skeletons: string
  /** Compressed layers as they came, where they are kept, by the same numbers. */
  readonly blobs: string
  /** Layers being unpacked. */
  readonly staging: string
  /** What interrupted downloads left, for the next try. */
  readonly downloads: string
  /** Writable layers of containers, by key. */
  readonly containers: string
  /** What waits for removal. */
  readonly trash: string
  /** The same on the containers' disk. */
  readonly containersTrash: string
  /** All of them. */
  readonly trashes: readonly string[]
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
  skeleton(number: number): string
  blob(number: number): string
}

/** Everything that there is of a layer. */
export const partsOf = (layout: Layout, number: number): readonly string[] => [
  layout.layer(number),
  layout.tree(number),
  layout.skeleton(number),
  layout.blob(number),
]

/** A layer's directory in the store whose root this is. */
export const layerBelow = (root: string, number: number): string => join(root, 'layers', number.toString(36))

/** What lets a layer leave the store whose root this is. */
export const skeletonBelow = (root: string, number: number): string => join(root, 'skeletons', number.toString(36))
export const blobBelow = (root: string, number: number): string => join(root, 'blobs', number.toString(36))

export interface Places {
  readonly root: string
  readonly state: string
  /** Where writable layers go, perhaps on another disk. */
  readonly containersRoot: string
}

/**
 * Refuses another place for writable layers while some are at the old one: nobody would know any more which layers they stand on.
 * Throws `failed_precondition`.
 */
export function keepContainersRoot({ root, containersRoot }: Pick<Places, 'root' | 'containersRoot'>): void {
  const mark = join(root, 'containers-root')
  const before = unlessErrno(['ENOENT'], () => readFileSync(mark, 'utf8'), root)
  if (before === containersRoot) return
  const left = unlessErrno(['ENOENT'], () => readdirSync(join(before, 'containers')), [])
  if (left.length > 0)
    throw new CodedError(
      'failed_precondition',
      `${left.length} containers have their writable layers below ${before}, not ${containersRoot}: remove them before the place changes`,
    )
  writeFileAtomic(mark, containersRoot)
}

export function createLayout({ root, state, containersRoot }: Places): Layout {
  const roots = [...new Set([root, containersRoot])]
  const layout: Layout = {
    root,
    roots,
    database: join(root, 'images.db'),
    session: join(root, 'session.json'),
    layers: join(root, 'layers'),
    trees: join(root, 'trees'),
    skeletons: join(root, 'skeletons'),
    blobs: join(root, 'blobs'),
    staging: join(root, 'staging'),
    downloads: join(root, 'downloads'),
    containers: join(containersRoot, 'containers'),
    trash: join(root, 'trash'),
    containersTrash: join(containersRoot, 'trash'),
    trashes: roots.map((each) => join(each, 'trash')),
    cache: join(root, 'cache'),
    mounts: join(state, 'rootfs'),
    idmappedMounts: join(state, 'userns'),
    idmappedLayers: join(state, 'idmap'),
    layer: (number) => layerBelow(root, number),
    tree: (number) => join(root, 'trees', number.toString(36)),
    skeleton: (number) => skeletonBelow(root, number),
    blob: (number) => blobBelow(root, number),
  }
  for (const each of roots) makeDirectories(each, 0o711)
  for (const directory of [state, layout.idmappedMounts]) {
    mkdirSync(directory, { recursive: true, mode: 0o711 })
    // Runtimes go to an idmapped root as the pod's root.
    chmodSync(directory, 0o711)
  }
  keepContainersRoot({ root, containersRoot })
  const { layers, trees, skeletons, blobs, staging, downloads, containers, trashes, cache, mounts, idmappedLayers } = layout
  // Unpacked files are as readable as their image made them: nobody but root may reach them.
  for (const directory of [
    layers,
    trees,
    skeletons,
    blobs,
    staging,
    downloads,
    containers,
    ...trashes,
    cache,
    mounts,
    idmappedLayers,
  ])
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  return layout
}
