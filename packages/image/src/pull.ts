// From a reference to an image in the store: resolve, fetch config, unpack layers side by side, record.
import { type CodedError, explain, failed } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { logger } from '@coracle/base/log'
import { SingleFlight } from '@coracle/base/single-flight'
import { type Digest, digestOf, type ImageId } from '@coracle/oci-spec/digest'
import type { Platform } from '@coracle/oci-spec/image'
import { maxConfigBytes } from '@coracle/oci-spec/image-config'
import { fitness, hostPlatform, normalisePlatform } from '@coracle/oci-spec/platform'
import { digestedName, formatReference, taggedName } from '@coracle/oci-spec/reference'
import { namingDisk } from './disk-error.ts'
import type { LayerProgress, PullProgress, PullRequest, PullStatus } from './images.ts'
import { type InstallRequest, installImage } from './install.ts'
import { Layers, type LayersDeps } from './layers.ts'
import { namesOf } from './names.ts'
import { PullUnderWay } from './pulls-under-way.ts'
import { askDigest } from './registry/ask-digest.ts'
import type { RegistryClient, RegistrySource } from './registry/client.ts'
import { RegistryError } from './registry/errors.ts'
import { fetchBlob, type ResolvedManifest, resolveManifest } from './registry/manifests.ts'
import type { Registries } from './registry/registries.ts'
import { damageOf, type StoredImage } from './store/index.ts'
import type { SignaturePolicies } from './trust/load-policies.ts'
import { checkTrust, SignatureError } from './trust/trust.ts'
import { registryErrorIn } from './unpack/messages.ts'

const log = logger('image')

export class Puller {
  readonly #deps: LayersDeps
  readonly #registries: Registries
  readonly #layers: Layers
  readonly #flights = new SingleFlight<ImageId>('pull image')
  readonly #progress = new Map<string, Set<(progress: PullProgress) => void>>()
  readonly #underWay = new Map<string, PullUnderWay>()

  readonly #policies: () => SignaturePolicies

  constructor(deps: LayersDeps, registries: Registries, policies: () => SignaturePolicies) {
    this.#deps = deps
    this.#registries = registries
    this.#policies = policies
    this.#layers = new Layers(deps)
  }

  /** Joins an equal pull in flight; equal means the same name, platform, credentials, and namespace where that has a policy of its own. */
  async pull(request: PullRequest, signal: AbortSignal): Promise<ImageId> {
    const name = formatReference(request.reference)
    const platform = normalisePlatform(request.platform ?? hostPlatform())
    const judge =
      request.namespace !== undefined && this.#policies().byNamespace.has(request.namespace) ? request.namespace : null
    const key = digestOf(JSON.stringify([name, platform, request.credentials ?? null, judge]))
    const listeners = this.#progress.get(key) ?? new Set()
    if (request.onProgress) this.#progress.set(key, listeners.add(request.onProgress))
    const status = this.#underWay.get(key) ?? new PullUnderWay(name)
    this.#underWay.set(key, status)
    try {
      using _waiting = status.wait(request.waiter ?? 'unknown')
      return await this.#flights.join(key, signal, (flightSignal) => {
        const tell = (layers: readonly LayerProgress[]) => {
          status.note(layers)
          for (const listener of this.#progress.get(key) ?? []) listener({ image: name, layers })
        }
        return this.#pull({ request, name, platform, tell, status, signal: flightSignal })
      })
    } catch (err) {
      signal.throwIfAborted()
      throw pullFailed(name, namingDisk(err, this.#deps.store.layout.root))
    } finally {
      if (request.onProgress) listeners.delete(request.onProgress)
      if (listeners.size === 0 && this.#progress.get(key) === listeners) this.#progress.delete(key)
      if (status.isAbandoned && this.#underWay.get(key) === status) this.#underWay.delete(key)
    }
  }

  /** The oldest first. */
  pulls(): readonly PullStatus[] {
    return [...this.#underWay.values()].map((pull) => pull.status())
  }

  async #pull(pull: Pull): Promise<ImageId> {
    const { request, name, signal } = pull
    const startedAt = performance.now()
    const mayBeHere = this.#mayBeHere(pull)
    if (!mayBeHere) this.#deps.pool.warm()
    pull.status.phase = 'resolving'
    const plan = await this.#registries.plan(request.reference, {}, signal)
    const source = this.#registries.sourceOf(plan, request.credentials)
    const client = this.#registries.client(source)
    try {
      const known = mayBeHere ? await this.#isHere(pull, client) : undefined
      const id = known === undefined ? await this.#resolve(pull, source, client) : await this.#rename(pull, client, known)
      const { index } = this.#deps.store
      pull.status.phase = 'recording'
      await failpoint('image.pull.recorded')
      await index.flush()
      await failpoint('image.pull.flushed')
      log.info('image pulled', { image: name, id, ms: Math.round(performance.now() - startedAt) })
      return id
    } finally {
      client.close()
    }
  }

  /** Whether the name is known: then a look at its digest may be all that is needed. */
  #mayBeHere({ request: { reference } }: Pull): boolean {
    const name = reference.digest === undefined ? taggedName(reference) : digestedName(reference, reference.digest)
    return name !== undefined && this.#deps.store.index.name(name) !== undefined
  }

  /** The whole image that a reference stands for now, when it is here under that very digest. */
  async #isHere({ request: { reference }, platform, signal }: Pull, client: RegistryClient): Promise<Known | undefined> {
    const topDigest = await askDigest(client, reference, signal)
    if (topDigest === undefined || (reference.digest ?? topDigest) !== topDigest) return undefined
    const name = this.#deps.store.index.name(digestedName(reference, topDigest))
    const image = name === undefined ? undefined : this.#whole(name.image)
    // An index may have been taken for another platform, by a copy.
    return image === undefined || fitness(platform, image.config.platform) === 0 ? undefined : { image, topDigest }
  }

  #whole(id: ImageId): StoredImage | undefined {
    const { index } = this.#deps.store
    const image = index.image(id)
    return image === undefined || image.origin !== undefined || damageOf(index, image) !== undefined ? undefined : image
  }

  async #rename({ request, signal }: Pull, client: RegistryClient, { image, topDigest }: Known): Promise<ImageId> {
    const { reference, namespace } = request
    const digests = [topDigest, image.manifestDigest]
    const { stallTimeoutMs: stallMs } = this.#deps.settings
    await checkTrust(this.#policies(), { reference, namespace, digests, client, stallMs }, signal)
    this.#deps.store.index.addNames(namesOf(reference, topDigest, image.id))
    return image.id
  }

  async #resolve(pull: Pull, source: RegistrySource, client: RegistryClient): Promise<ImageId> {
    this.#deps.pool.warm()
    const { request, signal } = pull
    const limits = { signal, stallMs: source.stallTimeoutMs }
    const resolved = await resolveManifest(client, { reference: request.reference, platform: pull.platform }, limits)
    const digests = [resolved.topDigest, resolved.manifestDigest]
    const { reference, namespace } = request
    await checkTrust(this.#policies(), { reference, namespace, digests, client, stallMs: source.stallTimeoutMs }, signal)
    // The brand holds: the config's digest is what an image id is.
    const id = resolved.manifest.config.digest as ImageId
    // One that is damaged is fetched again: only what it lost is downloaded.
    if (this.#whole(id) === undefined) await this.#fetch(pull, { source, client, resolved, id })
    else this.#deps.store.index.addNames(namesOf(request.reference, resolved.topDigest, id))
    return id
  }

  async #fetch(pull: Pull, { source, client, resolved, id }: Fetch): Promise<void> {
    const limits = { signal: pull.signal, stallMs: source.stallTimeoutMs, maxBytes: maxConfigBytes }
    const rawConfig = await fetchBlob(client, resolved.manifest.config, limits)
    await failpoint('image.pull.config')
    const { request, platform, tell } = pull
    pull.status.phase = 'layers'
    const names = namesOf(request.reference, resolved.topDigest, id)
    await this.install({ id, resolved, rawConfig, platform, source: client.handOn(), names, tell }, pull.signal)
  }

  /** The layers that are missing, then the image itself. */
  install(request: InstallRequest, signal: AbortSignal): Promise<void> {
    return installImage({ ...this.#deps, layers: this.#layers }, request, signal)
  }
}

interface Pull {
  readonly request: PullRequest
  readonly name: string
  readonly platform: Platform
  readonly tell: (layers: readonly LayerProgress[]) => void
  readonly status: PullUnderWay
  readonly signal: AbortSignal
}

interface Known {
  readonly image: StoredImage
  /** Of what the reference stands for. */
  readonly topDigest: Digest
}

interface Fetch {
  readonly source: RegistrySource
  readonly client: RegistryClient
  readonly resolved: ResolvedManifest
  readonly id: ImageId
}

// kubelet shows only the message, and knows these words at its start.
function pullFailed(name: string, err: unknown): CodedError {
  if (err instanceof SignatureError)
    return new SignatureError(`SignatureValidationFailed: pull image ${name}: ${err.message}`, { cause: err.cause })
  const registry = registryErrorIn(err)
  const unreachable = registry !== undefined && ['unavailable', 'dns', 'tls'].includes(registry.failure)
  if (!unreachable) return failed(`pull image ${name}`, err)
  return new RegistryError(registry.failure, `RegistryUnavailable: pull image ${name}: ${explain(err)}`)
}
