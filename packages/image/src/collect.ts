// Garbage: layers that no image, container or pull needs; and what an unclean end left lying about.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { logger } from '@coracle/base/log'
import type { RootfsStore } from './rootfs.ts'
import type { LayerKey } from './store/index.ts'
import type { Store } from './store/store.ts'

const log = logger('image')

/** Removes layers that nobody needs: first the record, then the directory. */
export async function collectLayers(store: Store, rootfs: RootfsStore): Promise<void> {
  const used = new Set<LayerKey>([...store.index.images()].flatMap(({ layers }) => layers))
  const { keys } = rootfs.inUse()
  const garbage = [...store.index.layers()].filter(({ key }) => !used.has(key) && !keys.has(key) && !store.leases.has(key))
  if (garbage.length === 0) return
  store.index.removeLayers(garbage.map(({ key }) => key))
  for (const { number } of garbage)
    for (const path of [store.layout.layer(number), store.layout.tree(number)]) await store.trash.take(path)
  log.debug('layers collected', { layers: garbage.length })
}

/** For the start, when no pull is in flight: staging, layers without a record, records without a layer. */
export async function sweep(store: Store, rootfs: RootfsStore): Promise<void> {
  const { layout, index, trash } = store
  for (const name of readdirSync(layout.staging)) await trash.take(join(layout.staging, name))
  const lost = [...index.layers()].filter(({ number }) => !existsSync(layout.layer(number)))
  if (lost.length > 0) {
    const keys = new Set(lost.map(({ key }) => key))
    for (const image of [...index.images()].filter(({ layers }) => layers.some((key) => keys.has(key)))) {
      log.error('image has lost a layer and is removed: pull it again', { id: image.id })
      index.removeImage(image.id)
    }
    index.removeLayers([...keys])
  }
  const known = new Set([...index.layers()].map(({ number }) => number.toString(36)))
  const mounted = new Set([...rootfs.inUse().numbers].map((number) => number.toString(36)))
  for (const directory of [layout.layers, layout.trees]) {
    for (const name of readdirSync(directory)) if (!known.has(name) && !mounted.has(name)) await trash.take(join(directory, name))
  }
  await collectLayers(store, rootfs)
  trash.emptySoon()
}
