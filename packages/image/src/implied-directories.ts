// An archive may leave out a directory and have only what is in it. Unpacked alone, such a layer would give the directory default
// metadata, and overlay shows the topmost. A small layer on top of the image's own repeats what the lower layers say.

import { chmodSync, chownSync, lstatSync, mkdirSync, openSync, type Stats, utimesSync } from 'node:fs'
import { digestOf } from '@coracle/oci-spec/digest'
import { publishLayer } from './layers.ts'
import { isSound, type LayerKey } from './store/index.ts'
import { stagedParts } from './store/leftovers.ts'
import { reserveStaging, type Store } from './store/store.ts'
import { TreeRecorder } from './tree/recorder.ts'
import { recordName } from './unpack/messages.ts'

interface Found {
  readonly path: Buffer
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeMs: number
}

const slice = 1000

/** Makes the mending layer if one is needed. Resolves to its key, or to nothing. */
export async function mendDirectories(store: Store, keys: readonly LayerKey[]): Promise<readonly LayerKey[]> {
  const layers = keys.map((key) => {
    const layer = store.index.layer(key)
    return {
      directory: Buffer.from(layer === undefined ? '' : store.layerPath(layer)),
      implied: new Set(layer?.impliedDirectories),
    }
  })
  const wanted = new Set(layers.slice(1).flatMap(({ implied }) => [...implied]))
  const needed = new Set<string>()
  let count = 0
  for (const name of wanted) {
    if (needsMending(layers, name)) for (const part of withAncestors(name)) needed.add(part)
    // Looking at files of our own is fast; a hundred thousand of them are not.
    if (++count % slice === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  if (needed.size === 0) return []
  const found = [...needed].sort().map((name) => effective(layers, name))
  const recipe = found.map(({ path, mode, uid, gid, mtimeMs }) => [path.toString('latin1'), mode, uid, gid, mtimeMs])
  const key: LayerKey = `dirs-${digestOf(JSON.stringify(recipe))}`
  if (!isSound(store.index.layer(key))) await makeMendingLayer(store, key, found)
  return [key]
}

function* withAncestors(name: string): Generator<string> {
  for (let end = name.indexOf('/'); end >= 0; end = name.indexOf('/', end + 1)) yield name.slice(0, end)
  yield name
}

interface LayerView {
  readonly directory: Buffer
  readonly implied: ReadonlySet<string>
}

// What overlay would show is the topmost layer that has the directory: it needs mending when that one only implies it and one below tells.
function needsMending(layers: readonly LayerView[], name: string): boolean {
  const top = layers.findLast((layer) => typeof lookAt(layer.directory, Buffer.from(name, 'latin1')) === 'object')
  return top?.implied.has(name) === true && explicit(layers, name) !== undefined
}

function explicit(layers: readonly LayerView[], name: string): Stats | undefined {
  for (const layer of layers.toReversed()) {
    const seen = lookAt(layer.directory, Buffer.from(name, 'latin1'))
    if (seen === 'hidden') return undefined
    if (seen !== 'absent' && !layer.implied.has(name)) return seen
  }
  return undefined
}

function effective(layers: readonly LayerView[], name: string): Found {
  const { mode, uid, gid, mtimeMs } = explicit(layers, name) ?? { mode: 0o755, uid: 0, gid: 0, mtimeMs: 0 }
  return { path: Buffer.from(name, 'latin1'), mode: mode & 0o7777, uid, gid, mtimeMs }
}

// Component by component, so that no link of the layer is followed. Anything but directories on the way hides what is below.
function lookAt(layer: Buffer, path: Buffer): Stats | 'absent' | 'hidden' {
  let stat: Stats | undefined
  for (let end = path.indexOf('/'); ; end = path.indexOf('/', end + 1)) {
    const part = end < 0 ? path : path.subarray(0, end)
    stat = lstatSync(Buffer.concat([layer, Buffer.from('/'), part]), { throwIfNoEntry: false })
    if (stat === undefined) return 'absent'
    if (!stat.isDirectory()) return 'hidden'
    if (end < 0) return stat
  }
}

async function makeMendingLayer(store: Store, key: LayerKey, found: readonly Found[]): Promise<void> {
  using reserved = reserveStaging(store)
  try {
    await fillMendingLayer(store, { key, found, staging: reserved.path })
  } catch (err) {
    for (const left of stagedParts(reserved.path)) await store.trash.take(left)
    throw err
  }
}

interface Mending {
  readonly key: LayerKey
  readonly found: readonly Found[]
  readonly staging: string
}

async function fillMendingLayer(store: Store, { key, found, staging }: Mending): Promise<void> {
  mkdirSync(staging, { mode: 0o755 })
  const at = (path: Buffer): Buffer => Buffer.concat([Buffer.from(`${staging}/`), path])
  for (const { path } of found) mkdirSync(at(path), { recursive: true, mode: 0o755 })
  for (const { path, mode, uid, gid, mtimeMs } of found.toReversed()) {
    chownSync(at(path), uid, gid)
    chmodSync(at(path), mode)
    // As text: of negative numbers Node makes the present.
    utimesSync(at(path), String(mtimeMs / 1000), String(mtimeMs / 1000))
  }
  const treeDigest = recordTree(recordName(staging), found)
  await store.sync()
  const usedBytes = 4096 * (found.length + 1)
  await publishLayer(store, staging, {
    key,
    blob: { digest: digestOf(key), size: 0 },
    layer: { usedBytes, inodes: found.length + 1, impliedDirectories: [], warnings: [], treeDigest },
  })
}

function recordTree(path: string, found: readonly Found[]): string {
  const recorder = new TreeRecorder({ begin() {}, data() {}, end() {} }, openSync(path, 'wx', 0o600))
  try {
    for (const { path, mode, uid, gid, mtimeMs } of found) {
      const mtime = { seconds: Math.floor(mtimeMs / 1000), nanoseconds: 0 }
      const none = { link: Buffer.alloc(0), sizeBytes: 0, major: 0, minor: 0, xattrs: undefined }
      recorder.begin({ kind: 'directory', path, mode, uid, gid, mtime, ...none })
    }
    return recorder.finish()
  } finally {
    recorder.abandon()
  }
}
