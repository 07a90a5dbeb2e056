// Layers by diffID: each is downloaded and unpacked once, whoever asks, and becomes part of the store when it is whole and on disk.

import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CodedError, codeOf, explain } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { Limiter } from '@coracle/base/limiter'
import { logger } from '@coracle/base/log'
import { SingleFlight } from '@coracle/base/single-flight'
import { beginStage, inStage, type Stage, stage } from '@coracle/base/stages'
import type { DiffId } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import type { LayerProgress } from './images.ts'
import type { Settings } from './options.ts'
import type { RegistrySource } from './registry/client.ts'
import { type Endpoint, keyOfEndpoint } from './registry/endpoints.ts'
import { RegistryError } from './registry/errors.ts'
import { pruneDownloads } from './store/downloads.ts'
import { isSound, type LayerKey } from './store/index.ts'
import { partsOf } from './store/layout.ts'
import { Leftovers } from './store/leftovers.ts'
import { reserveStaging, type Staging, type Store } from './store/store.ts'
import { isLinkBelow } from './unpack/link-below-error.ts'
import { blobName, type LayerPlace, recordName, registryErrorIn, skeletonName, type UnpackedLayer } from './unpack/messages.ts'
import type { JobHandle, UnpackPool } from './unpack/pool.ts'

const log = logger('image')

export interface LayerRequest {
  readonly diffId: DiffId
  /** Its hard links lead into the layers below: what it becomes by that, and these, lowest first. Absent: it stands alone. */
  readonly over?: { readonly key: LayerKey; readonly layers: readonly LayerKey[] }
  readonly blob: Descriptor
  readonly source: RegistrySource
  /** The blob is on disk already: its name below the staging directory. */
  readonly spooled?: string
  /** Limits one image's share. */
  readonly perImage: Limiter
  readonly onProgress: (state: LayerProgress['state'], downloadedBytes: number) => void
}

export interface LayersDeps {
  readonly store: Store
  readonly pool: UnpackPool
  /** Its workers may read finished layers. */
  readonly poolOverLayers: UnpackPool
  readonly settings: Settings
}

export class Layers {
  readonly #deps: LayersDeps
  readonly #flights = new SingleFlight<void>('layer')
  readonly #downloads: Limiter
  readonly #leftovers: Leftovers
  readonly #listeners = new Map<string, Set<LayerRequest['onProgress']>>()

  constructor(deps: LayersDeps) {
    this.#deps = deps
    this.#leftovers = new Leftovers(deps.store.trash)
    this.#downloads = new Limiter(deps.settings.maxDownloads, 'download slot')
  }

  /** Resolves when the layer is in the store, durably. Throws `LinkBelowError` when it cannot stand alone, as it should. */
  async ensure(wanted: LayerRequest, signal: AbortSignal): Promise<void> {
    let request = wanted
    const failures: unknown[] = []
    for (let tries = 1; ; tries++) {
      if (isSound(this.#deps.store.index.layer(keyOf(request)))) return request.onProgress('present', request.blob.size)
      let own = false
      try {
        using _listening = this.#listen(request)
        await this.#flights.join(keyOf(request), signal, (flightSignal) => {
          own = true
          return this.#make(request, flightSignal)
        })
        return request.onProgress('done', request.blob.size)
      } catch (err) {
        signal.throwIfAborted()
        if (isLinkBelow(err)) throw err
        if (own) failures.push(err)
        const next = own ? withoutFirstEndpoint(request, err) : undefined
        // Somebody else's blob was bad, or a worker was killed: our own try is still due. Bad bytes: another endpoint may have better ones.
        if (next === undefined && (tries >= 3 || (own && codeOf(err) !== 'unavailable')))
          throw toldTogether(wanted, failures, err)
        request = next ?? request
        log.warn('layer is tried again', { diffId: request.diffId, error: String(err) })
      }
    }
  }

  #listen(request: LayerRequest): Disposable {
    const key = keyOf(request)
    const listeners = this.#listeners.get(key) ?? new Set()
    this.#listeners.set(key, listeners.add(request.onProgress))
    return {
      [Symbol.dispose]: () => {
        listeners.delete(request.onProgress)
        if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key)
      },
    }
  }

  #tell(key: string, state: LayerProgress['state'], bytes: number): void {
    for (const listener of this.#listeners.get(key) ?? []) listener(state, bytes)
  }

  async #make(request: LayerRequest, signal: AbortSignal): Promise<void> {
    const { store } = this.#deps
    const { blob, source } = request
    const hosts = source.endpoints.map(({ host }) => host).join(' or ')
    // Its slots go to the next download while this one waits for the disk.
    const { staging, handle, layer } = await request.perImage.run(signal, () =>
      this.#downloads.run(signal, () =>
        stage(['registry', `${hosts} layer ${blob.digest}`], (own) => this.#unpack(request, own, signal)),
      ),
    )
    const { path } = staging
    try {
      await failpoint('image.pull.unpacked')
      await stage(['sync', 'layer to disk'], () => store.sync())
      signal.throwIfAborted()
      await failpoint('image.pull.synced')
      await publishLayer(store, path, { key: keyOf(request), blob, layer })
    } catch (err) {
      this.#discard(staging, handle)
      throw err
    }
    staging[Symbol.dispose]()
  }

  async #unpack(request: LayerRequest, own: Stage, signal: AbortSignal): Promise<Unpacked> {
    const { store, settings } = this.#deps
    const pool = request.over === undefined ? this.#deps.pool : this.#deps.poolOverLayers
    const key = keyOf(request)
    const below = request.over === undefined ? {} : { below: placesOf(store, request.over.layers) }
    await this.#leftovers.takeAgain()
    const staging = reserveStaging(store)
    const { name: directory, path } = staging
    try {
      mkdirSync(path, { mode: 0o755 })
    } catch (err) {
      staging[Symbol.dispose]()
      throw err
    }
    this.#tell(key, 'downloading', 0)
    let downloaded = 0
    const { size } = request.blob
    own.detail = () => `${downloaded} of ${size} bytes came`
    // What the worker still has to do when all bytes have come: until then it waits for them.
    let unpacking: Stage | undefined
    const handle = pool.unpack(
      {
        directory,
        source: request.source,
        ...(request.spooled === undefined ? {} : { spooled: request.spooled }),
        blob: request.blob,
        diffId: request.diffId,
        ...below,
        limits: settings.limits,
        download: { connections: settings.connectionsPerLayer, keptAfterMs: settings.keptAfterMs },
        keepBlob: settings.keepBlobs,
        gunzip: 'fastest',
      },
      {
        signal,
        onProgress: (bytes) => {
          downloaded = bytes
          // A canceled worker may speak after its end.
          if (bytes >= size && own.endedMs === undefined)
            unpacking ??= inStage(own, () => beginStage(['unpack', `layer ${request.blob.digest}`]))
          this.#tell(key, bytes < request.blob.size ? 'downloading' : 'unpacking', bytes)
        },
        // A failure shows again, and counts, when the whole layer is synced.
        onFiles: () => void store.sync().catch(() => {}),
      },
    )
    try {
      const layer = await handle.result
      unpacking?.end(undefined)
      if (layer.warnings.length > 0)
        log.warn('layer unpacked with warnings', { diffId: request.diffId, warnings: layer.warnings })
      return { staging, handle, layer }
    } catch (err) {
      unpacking?.end(explain(err))
      this.#discard(staging, handle)
      throw err
    }
  }

  #discard(staging: Staging, handle: JobHandle): void {
    const { store } = this.#deps
    const { path } = staging
    void handle.settled
      .then(() => pruneDownloads(store.layout.downloads))
      .then(() => this.#leftovers.take(path))
      .catch((late) => log.warn('staging not removed', { path, error: String(late) }))
      .finally(() => staging[Symbol.dispose]())
  }
}

/** A whole layer in its staging directory, not on disk yet. */
interface Unpacked {
  readonly staging: Staging
  readonly handle: JobHandle
  readonly layer: UnpackedLayer
}

const keyOf = ({ diffId, over }: LayerRequest): LayerKey => over?.key ?? diffId

function placesOf(store: Store, keys: readonly LayerKey[]): readonly LayerPlace[] {
  return keys.map((key) => {
    const layer = store.index.layer(key)
    if (!isSound(layer)) throw new CodedError('unavailable', `layer ${key} was lost while another was put on it`)
    const place = store.layerDirectories.indexOf(dirname(store.layerPath(layer)))
    return { place, name: layer.number.toString(36) }
  })
}

export interface FinishedLayer {
  readonly key: LayerKey
  readonly blob: Pick<Descriptor, 'digest' | 'size'>
  readonly layer: UnpackedLayer
}

/** Moves a directory and its tree record, whose content is on disk, to their places, makes that durable, and only then records it. */
export async function publishLayer(store: Store, path: string, finished: FinishedLayer): Promise<void> {
  const number = store.index.nextNumber()
  const { layout } = store
  // A check that runs at the same time must not take for an orphan what is about to be recorded.
  store.publishing.add(number)
  const { skeletonDigest, hasBlob } = finished.layer
  try {
    if (skeletonDigest !== undefined) renameSync(skeletonName(path), layout.skeleton(number))
    else rmSync(skeletonName(path), { force: true })
    if (hasBlob) renameSync(blobName(path), layout.blob(number))
    renameSync(recordName(path), layout.tree(number))
    renameSync(path, layout.layer(number))
    await failpoint('image.pull.renamed')
    for (const directory of [layout.skeletons, ...(hasBlob ? [layout.blobs] : []), layout.trees, layout.layers]) {
      await using parent = await open(directory, 'r')
      await parent.sync()
    }
    record(store, number, finished)
  } catch (err) {
    // Without a record nobody would look for them before the next start.
    for (const left of partsOf(layout, number)) await store.trash.take(left)
    throw err
  } finally {
    store.publishing.delete(number)
  }
}

function record(store: Store, number: number, { key, blob, layer }: FinishedLayer): void {
  const before = store.index.layer(key)
  const { usedBytes, inodes, impliedDirectories, treeDigest, skeletonDigest } = layer
  store.index.addLayer({
    ...{ key, number, usedBytes, inodes, impliedDirectories, treeDigest, skeletonDigest },
    blobDigest: blob.digest,
    blobBytes: blob.size,
    createdAtMs: Date.now(),
    damage: undefined,
  })
  // A damaged one: what stands on it keeps it until it is gone.
  if (before !== undefined && before.origin === undefined) store.retired.add(before.number)
}

/** What went wrong at all endpoints that were asked one after the other, as the error that the last one gave. */
function toldTogether({ source }: LayerRequest, failures: readonly unknown[], last: unknown): unknown {
  if (failures.length < 2) return last
  const hosts = new Set(source.endpoints.map(({ host }) => host))
  const text = `${[...new Set(failures.map(explain))].join('; ')} (asked: ${[...hosts].join(', ')})`
  const registry = registryErrorIn(last)
  return registry === undefined ? new CodedError(codeOf(last), text) : new RegistryError(registry.failure, text)
}

/** The request for the endpoints behind the first, when what came from it was not what it should be; undefined when there are none. */
function withoutFirstEndpoint(request: LayerRequest, err: unknown): LayerRequest | undefined {
  const [first, ...rest] = request.source.endpoints
  const isFirst = (one: Endpoint) =>
    first !== undefined && (keyOfEndpoint(one) === keyOfEndpoint(first) || (one.isPlainTwin === true && one.host === first.host))
  const endpoints = rest.filter((one) => !isFirst(one))
  if (endpoints.length === 0 || !['data_loss', 'invalid_argument'].includes(codeOf(err))) return undefined
  return { ...request, source: { ...request.source, endpoints } }
}
