import { setMaxListeners } from 'node:events'
import { availableParallelism } from 'node:os'
import { CodedError, explain, notFound } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { parseReference } from '@coracle/oci-spec/reference'
import { createCheck } from './check/run.ts'
import { Soundness } from './check/soundness.ts'
import { collectLayers, sweep } from './collect.ts'
import { measureStore } from './disk-usage.ts'
import type { Image, Images } from './images.ts'
import { findImage, findName, matchesAny, namesRemovedWith } from './names.ts'
import { type ImagesDeps, type ImagesOptions, withDefaults } from './options.ts'
import { Puller } from './pull.ts'
import type { RegistriesConfig } from './registry/endpoints.ts'
import { explainPull } from './registry/explain.ts'
import { Registries } from './registry/registries.ts'
import { RootfsStore } from './rootfs.ts'
import { damageOf, type ImageName, type StoredImage } from './store/index.ts'
import { openSession } from './store/session.ts'
import { openStore, type Store } from './store/store.ts'
import { createTransfers } from './transfers/create-transfers.ts'
import type { ImageTransfers } from './transfers/image-transfers.ts'
import type { SignaturePolicies } from './trust/load-policies.ts'
import { checkTransport, policyNote } from './trust/trust.ts'
import { createUnpackPool } from './unpack/pool.ts'
import { createContainerUsage, fileSystemsOf, imageUsage } from './usage.ts'

const log = logger('image')
const workerIdleMs = 3000

/** Images with what a reload can change. */
export interface ReloadableImages extends Images {
  readonly transfers: ImageTransfers
  /** Returns what is wrong with the files that it names: broken ones stay without effect. */
  setRegistries(registries: RegistriesConfig): readonly string[]
  setSignaturePolicies(policies: SignaturePolicies): void
  /** Unpack workers that run, and the layers they are busy with. */
  workers(): { readonly running: number; readonly jobs: number }
}

/**
 * Opens the store below `options.root`. One process at a time may have it open.
 * Throws `failed_precondition` when it was written by a newer version.
 */
export async function createImages(options: ImagesOptions, deps: ImagesDeps): Promise<ReloadableImages> {
  const settings = withDefaults(options, availableParallelism())
  const store = openStore(settings, deps)
  const workers = {
    processes: deps.processes,
    stagingDirectory: store.layout.staging,
    downloadsDirectory: store.layout.downloads,
    cacheDirectory: store.layout.cache,
    idleMs: workerIdleMs,
  }
  const pool = createUnpackPool({ ...workers, maxWorkers: settings.unpackWorkers })
  const poolOverLayers = createUnpackPool({ ...workers, layerDirectories: store.layerDirectories, maxWorkers: 1 })
  let { registries, pinned, signaturePolicies: policies } = settings
  const { stallTimeoutMs, retryBaseMs } = settings
  const sources = new Registries({ config: () => registries, processes: deps.processes, stallTimeoutMs, retryBaseMs })
  const puller = new Puller({ store, pool, poolOverLayers, settings }, sources, () => policies)
  const rootfs: RootfsStore = new RootfsStore({
    store,
    host: deps,
    settings,
    // What is left is found at the next start.
    onReleased: () => void collectLayers(store, rootfs).catch((err) => log.warn('layers not collected', { error: explain(err) })),
  })
  const views = new ImageViews(store, () => pinned)
  const candidates = (name: string) => sources.candidates(name).map(({ reference }) => reference)
  const findNamed = (name: string) => findImage(store.index, name, candidates)
  const session = openSession(store.layout.session, deps.processes.bootId())
  const soundness = new Soundness(store, { processes: deps.processes, cacheDirectory: store.layout.cache }, session)
  const transfers = createTransfers({
    ...{ store, settings, processes: deps.processes },
    install: (request, signal) => puller.install(request, signal),
    admit: (transport) => checkTransport(policies, transport),
    findImage: findNamed,
    findName: (name) => findName(store.index, name, candidates),
  })
  const closing = new AbortController()
  setMaxListeners(0, closing.signal)
  const containerUsage = createContainerUsage(store, deps.paths, { closing: closing.signal })

  return {
    transfers,
    async pull(request, signal) {
      const id = await puller.pull(request, AbortSignal.any([signal, closing.signal]))
      const image = store.index.image(id)
      // Removed in the moment between: the removal came later and wins.
      if (image === undefined) throw notFound(`image ${id} was removed while it was pulled`)
      return views.of(image)
    },
    pulls: () => [...puller.pulls(), ...transfers.underWay()].sort((a, b) => a.startedAtMs - b.startedAtMs),
    list: () => [...store.index.images()].map((image) => views.of(image)),
    find(name) {
      const image = findNamed(name)
      return image === undefined ? undefined : views.of(image)
    },
    async remove(name) {
      const image = findNamed(name)
      if (image === undefined) return
      if (image.origin !== undefined)
        throw new CodedError(
          'failed_precondition',
          `image ${image.id} lies in the read-only store ${image.origin}: take that out of images.additional_stores`,
        )
      removeByName(store, image, findName(store.index, name, candidates))
      await store.index.flush()
      await collectLayers(store, rootfs)
    },
    setPinned(patterns) {
      pinned = patterns
    },
    setRegistries(changed) {
      registries = changed
      return sources.check()
    },
    setSignaturePolicies(changed) {
      policies = changed
    },
    workers() {
      const [a, b] = [pool.load(), poolOverLayers.load()]
      return { running: a.running + b.running, jobs: a.jobs + b.jobs }
    },
    candidates,
    async createRootfs(request, signal) {
      await soundness.ensure(request.image, signal)
      return rootfs.create(request, signal)
    },
    async explainPull(request, signal) {
      const explained = await explainPull(sources, request, signal)
      return explained.map((one) => {
        const note = policyNote(policies, parseReference(one.reference))
        return note === undefined ? one : { ...one, remarks: [...one.remarks, note] }
      })
    },
    unmountRootfs: (key) => rootfs.unmount(key),
    removeRootfs: (key) => rootfs.remove(key),
    writableLayer: (key) => rootfs.writableLayer(key),
    rootfsKeys: () => rootfs.keys(),
    fileSystems: fileSystemsOf(store),
    imageUsage: async () => imageUsage(store),
    containerUsage,
    diskUsage: (signal) => measureStore({ store, rootfs, paths: deps.paths }, signal),
    check: createCheck({
      parts: { store, rootfs, soundness },
      pull: (reference, signal) => puller.pull({ reference }, signal),
      collect: () => collectLayers(store, rootfs),
    }),
    async recover() {
      await sweep(store, rootfs)
      void soundness.clearAll(closing.signal)
    },
    async close() {
      if (closing.signal.aborted) return
      closing.abort(new CodedError('unavailable', 'the image store is being closed'))
      await transfers[Symbol.asyncDispose]()
      await Promise.all([pool.close(), poolOverLayers.close()])
      await Promise.all([store.trash.close(), store.containersTrash.close()])
      session.end()
      store.database[Symbol.dispose]()
    },
  }
}

function removeByName({ index }: Store, image: StoredImage, name: ImageName | undefined): void {
  const byId = name === undefined || name.image !== image.id
  const removed = byId ? [] : namesRemovedWith(index, name)
  const left = [...index.names()].filter((other) => other.image === image.id && !removed.includes(other.name))
  if (byId || left.length === 0) index.removeImage(image.id)
  else index.removeNames(removed)
}

class ImageViews {
  readonly #store: Store
  readonly #pinned: () => readonly string[]
  constructor(store: Store, pinned: () => readonly string[]) {
    this.#store = store
    this.#pinned = pinned
  }

  of(image: StoredImage): Image {
    const { index } = this.#store
    const names = [...index.names()].filter((name) => name.image === image.id)
    const tags = names.filter(({ kind }) => kind === 'tag').map(({ name }) => name)
    const digests = names.filter(({ kind }) => kind === 'digest').map(({ name }) => name)
    return Object.freeze({
      id: image.id,
      tags: Object.freeze(tags.sort()),
      digests: Object.freeze(digests.sort()),
      sizeBytes: image.sizeBytes,
      readOnly: image.origin !== undefined,
      damage: damageOf(index, image),
      // kubelet must not try to remove what cannot be.
      pinned: image.origin !== undefined || matchesAny(this.#pinned(), [image.id, ...tags, ...digests]),
      config: image.config,
      get rawConfig() {
        return index.rawConfig(image.id)
      },
    })
  }
}
