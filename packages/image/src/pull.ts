// From a reference to an image in the store: resolve, fetch config, unpack layers side by side, record.
import { CodedError, explain, failed } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { Limiter } from '@coracle/base/limiter'
import { logger } from '@coracle/base/log'
import { SingleFlight } from '@coracle/base/single-flight'
import { type DiffId, digestOf, type ImageId } from '@coracle/oci-spec/digest'
import type { Descriptor, ImageConfig, Platform } from '@coracle/oci-spec/image'
import { maxConfigBytes, parseImageConfig } from '@coracle/oci-spec/image-config'
import { hostPlatform, normalisePlatform } from '@coracle/oci-spec/platform'
import { formatReference } from '@coracle/oci-spec/reference'
import type { LayerProgress, PullProgress, PullRequest } from './images.ts'
import { mendDirectories } from './implied-directories.ts'
import { Layers, type LayersDeps } from './layers.ts'
import { namesOf } from './names.ts'
import type { RegistryClient, RegistrySource } from './registry/client.ts'
import { RegistryError } from './registry/errors.ts'
import { fetchBlob, type ResolvedManifest, resolveManifest } from './registry/manifests.ts'
import type { Registries } from './registry/registries.ts'
import { damageOf } from './store/index.ts'
import { leaseLayers } from './store/store.ts'
import { registryErrorIn } from './unpack/messages.ts'

const log = logger('image')

export class Puller {
  readonly #deps: LayersDeps
  readonly #registries: Registries
  readonly #layers: Layers
  readonly #flights = new SingleFlight<ImageId>('pull image')
  readonly #progress = new Map<string, Set<(progress: PullProgress) => void>>()

  constructor(deps: LayersDeps, registries: Registries) {
    this.#deps = deps
    this.#registries = registries
    this.#layers = new Layers(deps)
  }

  /** Joins an equal pull in flight; equal means the same name, platform and credentials. */
  async pull(request: PullRequest, signal: AbortSignal): Promise<ImageId> {
    const name = formatReference(request.reference)
    const platform = normalisePlatform(request.platform ?? hostPlatform())
    const key = digestOf(JSON.stringify([name, platform, request.credentials ?? null]))
    const listeners = this.#progress.get(key) ?? new Set()
    if (request.onProgress) this.#progress.set(key, listeners.add(request.onProgress))
    try {
      return await this.#flights.join(key, signal, (flightSignal) => {
        const tell = (layers: readonly LayerProgress[]) => {
          for (const listener of this.#progress.get(key) ?? []) listener({ image: name, layers })
        }
        return this.#pull({ request, name, platform, tell, signal: flightSignal })
      })
    } catch (err) {
      signal.throwIfAborted()
      throw pullFailed(name, err)
    } finally {
      if (request.onProgress) listeners.delete(request.onProgress)
      if (listeners.size === 0 && this.#progress.get(key) === listeners) this.#progress.delete(key)
    }
  }

  async #pull(pull: Pull): Promise<ImageId> {
    const { request, name, signal } = pull
    const startedAt = performance.now()
    this.#deps.pool.warm()
    const plan = await this.#registries.plan(request.reference, {}, signal)
    const source = this.#registries.sourceOf(plan, request.credentials)
    const client = this.#registries.client(source)
    try {
      const limits = { signal, stallMs: source.stallTimeoutMs }
      const resolved = await resolveManifest(client, { reference: request.reference, platform: pull.platform }, limits)
      // The brand holds: the config's digest is what an image id is.
      const id = resolved.manifest.config.digest as ImageId
      const names = namesOf(request.reference, resolved.topDigest, id)
      const { index } = this.#deps.store
      const present = index.image(id)
      // One that is damaged is fetched again: only what it lost is downloaded.
      if (present !== undefined && present.origin === undefined && damageOf(index, present) === undefined) index.addNames(names)
      else await this.#fetch(pull, { source, client, resolved, id })
      await failpoint('image.pull.recorded')
      await index.flush()
      await failpoint('image.pull.flushed')
      log.info('image pulled', { image: name, id, ms: Math.round(performance.now() - startedAt) })
      return id
    } finally {
      client.close()
    }
  }

  async #fetch(pull: Pull, { source, client, resolved, id }: Fetch): Promise<void> {
    const { store, settings } = this.#deps
    const { manifest } = resolved
    const limits = { signal: pull.signal, stallMs: source.stallTimeoutMs, maxBytes: maxConfigBytes }
    const rawConfig = await fetchBlob(client, manifest.config, limits)
    await failpoint('image.pull.config')
    const config = parseImageConfig(rawConfig)
    checkConfig(config, manifest.layers, pull.platform)
    using _lease = leaseLayers(store, config.diffIds)
    const layerSource = client.handOn()
    const progress = progressOf(manifest.layers, pull.tell)
    const perImage = new Limiter(settings.maxDownloadsPerImage, 'download slot of the image')
    const stop = new AbortController()
    const signal = AbortSignal.any([pull.signal, stop.signal])
    // The largest first: a small one is the better last. Equal layers are one.
    const order = [...new Map(config.diffIds.map((diffId, i) => [diffId, i])).entries()].sort(
      (a, b) => (manifest.layers[b[1]]?.size ?? 0) - (manifest.layers[a[1]]?.size ?? 0),
    )
    const work = order.map(([diffId, i]) => {
      // As many layers as diffIDs: checked above.
      const blob = manifest.layers[i] as Descriptor
      return this.#layers.ensure({ diffId, blob, source: layerSource, perImage, onProgress: progress.of(i) }, signal)
    })
    try {
      await Promise.all(work)
    } catch (err) {
      stop.abort(err)
      await Promise.allSettled(work)
      throw err
    }
    const mended = await mendDirectories(store, config.diffIds)
    using _mended = leaseLayers(store, mended)
    pull.signal.throwIfAborted()
    const sizeBytes = manifest.config.size + manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
    const image = {
      id,
      manifestDigest: resolved.manifestDigest,
      config,
      sizeBytes,
      layers: [...stackOf(config.diffIds), ...mended],
    }
    await failpoint('image.pull.layers')
    store.index.addImage(
      { image, rawConfig, rawManifest: resolved.rawManifest },
      namesOf(pull.request.reference, resolved.topDigest, id),
    )
  }
}

interface Pull {
  readonly request: PullRequest
  readonly name: string
  readonly platform: Platform
  readonly tell: (layers: readonly LayerProgress[]) => void
  readonly signal: AbortSignal
}

interface Fetch {
  readonly source: RegistrySource
  readonly client: RegistryClient
  readonly resolved: ResolvedManifest
  readonly id: ImageId
}

// Overlay takes each directory once. A layer that comes again hides all that it did before: its last place counts.
const stackOf = (diffIds: readonly DiffId[]): readonly DiffId[] =>
  diffIds.filter((diffId, i) => diffIds.lastIndexOf(diffId) === i)

function checkConfig(config: ImageConfig, layers: readonly Descriptor[], wanted: Platform): void {
  if (config.diffIds.length !== layers.length)
    throw new CodedError('invalid_argument', `rootfs.diff_ids has ${config.diffIds.length} entries for ${layers.length} layers`)
  if (layers.length === 0) throw new CodedError('invalid_argument', 'image has no layers: nothing in it could run')
  const { os } = normalisePlatform(config.platform)
  if (os !== wanted.os) throw new CodedError('failed_precondition', `image is for ${os}, not for ${wanted.os}`)
}

function progressOf(layers: readonly Descriptor[], tell: (layers: readonly LayerProgress[]) => void) {
  const states: LayerProgress[] = layers.map(({ digest, size }) => ({
    digest,
    state: 'waiting',
    downloadedBytes: 0,
    totalBytes: size,
  }))
  tell([...states])
  return {
    of: (i: number) => (state: LayerProgress['state'], downloadedBytes: number) => {
      // As many states as layers.
      states[i] = { ...(states[i] as LayerProgress), state, downloadedBytes }
      tell([...states])
    },
  }
}

// kubelet shows only the message, and knows this one word at its start.
function pullFailed(name: string, err: unknown): CodedError {
  const registry = registryErrorIn(err)
  const unreachable = registry !== undefined && ['unavailable', 'dns', 'tls'].includes(registry.failure)
  if (!unreachable) return failed(`pull image ${name}`, err)
  return new RegistryError(registry.failure, `RegistryUnavailable: pull image ${name}: ${explain(err)}`)
}
