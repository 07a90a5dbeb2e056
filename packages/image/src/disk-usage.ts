// Where every byte of the store is: measured, not remembered, so that what nobody knows of is seen too.
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DiskUsage, Paths } from '@coracle/host'
import type { ImageId } from '@coracle/oci-spec/digest'
import { orphans } from './collect.ts'
import type { RootfsStore } from './rootfs.ts'
import type { LayerKey } from './store/index.ts'
import type { Store } from './store/store.ts'

export interface StoreDiskUsage {
  readonly layers: readonly LayerUsage[]
  readonly containers: readonly ContainerUsage[]
  readonly parts: readonly PartUsage[]
  /** The store's directories as a whole. */
  readonly totals: readonly PartUsage[]
}

export interface LayerUsage extends DiskUsage {
  /** Undefined: a copy that was damaged and unpacked anew, kept for those who stand on it. */
  readonly key: LayerKey | undefined
  readonly path: string
  readonly images: readonly ImageId[]
  readonly containers: readonly string[]
  readonly readOnly: boolean
}

export interface ContainerUsage extends DiskUsage {
  readonly key: string
  readonly image: ImageId | undefined
}

export interface PartUsage extends DiskUsage {
  readonly kind: 'partial' | 'orphan' | 'trash' | 'records' | 'blobs' | 'cache' | 'total'
  readonly path: string
}

export interface DiskUsageDeps {
  readonly store: Store
  readonly rootfs: RootfsStore
  readonly paths: Pick<Paths, 'diskUsages'>
}

const nothing: DiskUsage = { usedBytes: 0n, inodes: 0n }

export async function measureStore(deps: DiskUsageDeps, signal: AbortSignal): Promise<StoreDiskUsage> {
  const { store, rootfs, paths } = deps
  const { layout } = store
  const layers = layersOf(deps)
  const containers = rootfs.keys().map((key) => ({ key, image: rootfs.imageOf(key), path: rootfs.directory(key) }))
  const parts = partsOf(deps)
  const own = layers.filter(({ readOnly }) => !readOnly)
  const measured = await paths.diskUsages(
    [...own, ...containers, ...parts].map(({ path }) => path),
    signal,
  )
  const of = (path: string): DiskUsage => measured.get(path) ?? nothing
  // By themselves: du(1) counts what it met before only once.
  const totals = await paths.diskUsages([...layout.roots], signal)
  return {
    layers: layers.map((layer) => ({ ...layer, ...of(layer.path) })),
    containers: containers.map(({ key, image, path }) => ({ key, image, ...of(path) })),
    parts: parts.map((part) => ({ ...part, ...of(part.path) })),
    totals: [...totals].map(([path, usage]) => ({ kind: 'total', path, ...usage })),
  }
}

type LayerPlace = Omit<LayerUsage, keyof DiskUsage>

function layersOf({ store, rootfs }: DiskUsageDeps): readonly LayerPlace[] {
  const { index, layout } = store
  const images = [...index.images()]
  const recorded = [...index.layers()].map((layer) => ({
    key: layer.key,
    path: store.layerPath(layer),
    images: images.filter(({ layers }) => layers.includes(layer.key)).map(({ id }) => id),
    containers: rootfs.users(layer.key),
    readOnly: layer.origin !== undefined,
  }))
  const known = new Set([...index.layers()].filter(({ origin }) => origin === undefined).map(({ number }) => number))
  const { numbers, byKey } = rootfs.inUse()
  const retired = [...numbers].filter((number) => !known.has(number))
  const users = (number: number) => [...byKey].filter(([, used]) => used.includes(number)).map(([key]) => key)
  return [
    ...recorded,
    ...retired.map((number) => ({
      ...{ key: undefined, path: layout.layer(number), images: [], readOnly: false },
      containers: users(number),
    })),
  ]
}

function partsOf({ store, rootfs }: DiskUsageDeps): readonly Omit<PartUsage, keyof DiskUsage>[] {
  const { layout } = store
  const orphaned = orphans(store, rootfs)
  const staging = [...store.staging].map((name) => join(layout.staging, name))
  // Those below a directory that is measured as a whole are counted there.
  const whole = [layout.trees, layout.skeletons, layout.blobs]
  const files = layout.roots.flatMap((root) =>
    readdirSync(root, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [] : [join(root, entry.name)])),
  )
  return [
    ...staging.map((path) => ({ kind: 'partial' as const, path })),
    { kind: 'partial', path: layout.downloads },
    ...orphaned.filter((path) => !whole.includes(dirname(path))).map((path) => ({ kind: 'orphan' as const, path })),
    ...layout.trashes.map((path) => ({ kind: 'trash' as const, path })),
    { kind: 'records', path: layout.trees },
    { kind: 'records', path: layout.skeletons },
    { kind: 'blobs', path: layout.blobs },
    ...files.map((path) => ({ kind: 'records' as const, path })),
    { kind: 'cache', path: layout.cache },
  ]
}
