// Everything that is kept: the index, the directories, and who still needs which layer.
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ImagesDeps, Settings } from '../options.ts'
import { createSyncBatch } from '../sync-batch.ts'
import { blobName, recordName, skeletonName } from '../unpack/messages.ts'
import { readAdditionalStores } from './additional.ts'
import { type Database, openDatabase } from './database.ts'
import { ImageIndex, type Layer, type LayerKey } from './index.ts'
import { createLayout, type Layout, layerBelow } from './layout.ts'
import { Trash } from './trash.ts'

export interface Store {
  readonly layout: Layout
  readonly database: Database
  readonly index: ImageIndex
  readonly trash: Trash
  /** For what lies on the containers' disk. */
  readonly containersTrash: Trash
  /** syncfs(2) of the root's file system, joined. */
  readonly sync: () => Promise<void>
  /** Layers that pulls in flight hold, and how many do. In memory: at start there are no pulls. */
  readonly leases: Map<LayerKey, number>
  /** Names in the staging directory that work in flight uses. */
  readonly staging: Set<string>
  /** Numbers of layers that are at their places and not recorded yet. */
  readonly publishing: Set<number>
  /** Numbers of layers that were unpacked anew: their directories go when no container stands on them any more. */
  readonly retired: Set<number>
  /** Where a layer's content lies, in whichever store. */
  layerPath(layer: Layer): string
  /** Directories of layers: our own, then those of read-only stores. */
  readonly layerDirectories: readonly string[]
}

export function openStore(settings: Settings, deps: ImagesDeps): Store {
  const layout = createLayout(settings)
  const database = openDatabase(layout.database)
  const numbers = readdirSync(layout.layers).map((name) => Number.parseInt(name, 36))
  const last = numbers.filter(Number.isSafeInteger).reduce((a, b) => Math.max(a, b), 0)
  const index = new ImageIndex(database, last)
  const others = readAdditionalStores(settings.additionalStores, layout.cache)
  index.adopt(others)
  const trash = new Trash(layout.trash, deps)
  return {
    layout,
    database,
    index,
    trash,
    containersTrash: layout.containersTrash === layout.trash ? trash : new Trash(layout.containersTrash, deps),
    sync: createSyncBatch(() => deps.mounts.syncFileSystem(layout.root)),
    leases: new Map(),
    staging: new Set(),
    publishing: new Set(),
    retired: new Set(),
    layerPath: (layer) => (layer.origin === undefined ? layout.layer(layer.number) : layerBelow(layer.origin, layer.number)),
    layerDirectories: [layout.layers, ...others.map(({ root }) => join(root, 'layers'))],
  }
}

/** A name of its own below the staging directory, kept from whoever cleans there until disposed. */
export interface Staging extends Disposable {
  readonly name: string
  readonly path: string
}

/** Reserves a name in the staging directory, for a layer and the files beside it, until disposed. */
export function reserveStaging(store: Store): Staging {
  const name = randomBytes(8).toString('hex')
  const names = [name, recordName(name), skeletonName(name), blobName(name)]
  for (const each of names) store.staging.add(each)
  return {
    name,
    path: join(store.layout.staging, name),
    [Symbol.dispose]() {
      for (const each of names) store.staging.delete(each)
    },
  }
}

/** Holds layers against collection until disposed. */
export function leaseLayers(store: Store, keys: readonly LayerKey[]): Disposable {
  for (const key of keys) store.leases.set(key, (store.leases.get(key) ?? 0) + 1)
  return {
    [Symbol.dispose]() {
      for (const key of keys) {
        const left = (store.leases.get(key) ?? 1) - 1
        if (left > 0) store.leases.set(key, left)
        else store.leases.delete(key)
      }
    },
  }
}
