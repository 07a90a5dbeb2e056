// Everything that is kept: the index, the directories, and who still needs which layer.
import { readdirSync } from 'node:fs'
import type { ImagesDeps, Settings } from '../options.ts'
import { createSyncBatch } from '../sync-batch.ts'
import { type Database, openDatabase } from './database.ts'
import { ImageIndex, type LayerKey } from './index.ts'
import { createLayout, type Layout } from './layout.ts'
import { Trash } from './trash.ts'

export interface Store {
  readonly layout: Layout
  readonly database: Database
  readonly index: ImageIndex
  readonly trash: Trash
  /** syncfs(2) of the root's file system, joined. */
  readonly sync: () => Promise<void>
  /** Layers that pulls in flight hold, and how many do. In memory: at start there are no pulls. */
  readonly leases: Map<LayerKey, number>
}

export function openStore(settings: Settings, deps: ImagesDeps): Store {
  const layout = createLayout(settings.root, settings.state)
  const database = openDatabase(layout.database)
  const numbers = readdirSync(layout.layers).map((name) => Number.parseInt(name, 36))
  const last = numbers.filter(Number.isSafeInteger).reduce((a, b) => Math.max(a, b), 0)
  return {
    layout,
    database,
    index: new ImageIndex(database, last),
    trash: new Trash(layout.trash, deps),
    sync: createSyncBatch(() => deps.mounts.syncFileSystem(layout.root)),
    leases: new Map(),
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
