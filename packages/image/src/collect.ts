// Garbage: layers that no image, container or pull needs; and what an unclean end left lying about. The record goes first, then the
// directory: a crash between the two leaves a directory without a record, which the next start finds.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { failpoint } from '@coracle/base/failpoint'
import { logger } from '@coracle/base/log'
import type { RootfsStore } from './rootfs.ts'
import { pruneDownloads } from './store/downloads.ts'
import type { Layer, LayerKey } from './store/index.ts'
import { partsOf } from './store/layout.ts'
import type { Store } from './store/store.ts'

const log = logger('image')

/** Layers that nothing reachable needs: no image, no container's root file system, no pull. */
export function unreachable(store: Store, rootfs: Pick<RootfsStore, 'inUse'>): readonly Layer[] {
  const used = new Set<LayerKey>([...store.index.images()].flatMap(({ layers }) => layers))
  const { keys } = rootfs.inUse()
  return [...store.index.layers()].filter(
    ({ key, origin }) => origin === undefined && !used.has(key) && !keys.has(key) && !store.leases.has(key),
  )
}

/** Removes layers that nobody needs. */
export async function collectLayers(store: Store, rootfs: RootfsStore): Promise<void> {
  const garbage = unreachable(store, rootfs)
  const { numbers: inUse } = rootfs.inUse()
  const old = [...store.retired].filter((number) => !inUse.has(number))
  for (const number of old) store.retired.delete(number)
  if (garbage.length + old.length === 0) return
  store.index.removeLayers(garbage.map(({ key }) => key))
  await failpoint('image.collect.forgotten')
  for (const number of [...garbage.map((layer) => layer.number), ...old]) {
    for (const path of partsOf(store.layout, number)) await store.trash.take(path)
    await failpoint('image.collect.moved')
  }
  log.debug('layers collected', { layers: garbage.length + old.length })
}

/** Paths in the store that nothing refers to. Only what no pull in flight has made. */
export function orphans(store: Store, rootfs: Pick<RootfsStore, 'inUse'>): readonly string[] {
  const { layout, index } = store
  const own = [...index.layers()].filter(({ origin }) => origin === undefined)
  const { numbers } = rootfs.inUse()
  const known = new Set(
    [...own.map(({ number }) => number), ...numbers, ...store.publishing].map((number) => number.toString(36)),
  )
  const below = (directory: string, isKnown: (name: string) => boolean): string[] =>
    readdirSync(directory)
      .filter((name) => !isKnown(name))
      .map((name) => join(directory, name))
  return [
    ...below(layout.staging, (name) => store.staging.has(name)),
    ...[layout.layers, layout.trees, layout.skeletons, layout.blobs].flatMap((each) => below(each, (name) => known.has(name))),
  ]
}

/** For the start, when no pull is in flight: what nothing refers to goes, images that lost a layer are marked. */
export async function sweep(store: Store, rootfs: RootfsStore): Promise<void> {
  const { layout, index, trash } = store
  for (const layer of [...index.layers()]) {
    if (existsSync(store.layerPath(layer))) continue
    log.error('layer is lost: images that have it must be pulled again', { layer: layer.key })
    index.setDamage(layer.key, 'its directory is missing')
  }
  // A container may stand on a copy that was retired before the last end.
  const own = new Set([...index.layers()].filter(({ origin }) => origin === undefined).map(({ number }) => number))
  for (const number of rootfs.inUse().numbers) if (!own.has(number)) store.retired.add(number)
  for (const path of orphans(store, rootfs)) await trash.take(path)
  pruneDownloads(layout.downloads)
  await collectLayers(store, rootfs)
  trash.emptySoon()
  store.containersTrash.emptySoon()
  log.debug('store swept', { root: layout.root })
}
