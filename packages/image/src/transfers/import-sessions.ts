// Blobs that a client brings, in files of the staging directory until the image is unpacked from them.
import { randomBytes } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, invalid, notFound, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { type Digest, digestOf, type ImageId } from '@coracle/oci-spec/digest'
import type { Manifest } from '@coracle/oci-spec/image'
import { maxConfigBytes, parseImageConfig } from '@coracle/oci-spec/image-config'
import { maxManifestBytes, parseManifest } from '@coracle/oci-spec/manifest'
import { hostPlatform, normalisePlatform } from '@coracle/oci-spec/platform'
import { nameOf } from '@coracle/oci-spec/reference'
import { DiskError, namingDisk } from '../disk-error.ts'
import type { PullStatus } from '../images.ts'
import type { InstallRequest } from '../install.ts'
import { namesOf } from '../names.ts'
import type { Settings } from '../options.ts'
import { digestIn } from '../registry/manifests.ts'
import { damageOf, isSound, type LayerKey } from '../store/index.ts'
import { isAlone } from '../store/layer-key.ts'
import { leaseLayers, type Store } from '../store/store.ts'
import type { ImportSession, NewParts } from './image-transfers.ts'
import { type ImportDescription, ImportStatus } from './import-status.ts'

export interface ImportDeps {
  readonly store: Store
  readonly settings: Pick<Settings, 'limits' | 'stallTimeoutMs' | 'retryBaseMs'>
  readonly install: (request: InstallRequest, signal: AbortSignal) => Promise<void>
  /** Throws when the signature policy does not let an image in that comes from there. */
  readonly admit: (transport: string) => void
}

const maxSessions = 16
const maxBlobs = 512

export class ImportSessions implements AsyncDisposable {
  readonly #deps: ImportDeps
  readonly #open = new Map<string, Session>()

  constructor(deps: ImportDeps) {
    this.#deps = deps
  }

  open(): ImportSession {
    if (this.#open.size >= maxSessions) throw new CodedError('resource_exhausted', `${maxSessions} imports are open already`)
    const session = new Session(this.#deps, () => this.#open.delete(session.id))
    this.#open.set(session.id, session)
    return session
  }

  get(id: string): ImportSession {
    const session = this.#open.get(id)
    if (session === undefined) throw notFound(`no import ${quote(id)} is open`)
    return session
  }

  isOpen(id: string): boolean {
    return this.#open.has(id)
  }

  underWay(): readonly PullStatus[] {
    return [...this.#open.values()].flatMap((session) => session.status() ?? [])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values()].map((session) => session[Symbol.asyncDispose]()))
  }
}

interface Spool {
  readonly name: string
  readonly file: FileHandle
  bytes: number
}

class Session implements ImportSession {
  readonly id = randomBytes(16).toString('hex')
  readonly #deps: ImportDeps
  readonly #onClosed: () => void
  readonly #closing = new AbortController()
  readonly #spools = new Map<Digest, Spool>()
  readonly #leases = new DisposableStack()
  #work: Promise<unknown> = Promise.resolve()
  #status: ImportStatus | undefined

  constructor(deps: ImportDeps, onClosed: () => void) {
    this.#deps = deps
    this.#onClosed = onClosed
  }

  describe(description: ImportDescription): void {
    this.#status = new ImportStatus(description)
  }

  status(): PullStatus | undefined {
    return this.#status?.status()
  }

  has(digest: Digest): boolean {
    const { store } = this.#deps
    const layer = [...store.index.layers()].find((each) => each.blobDigest === digest && isSound(each) && isAlone(each.key))
    if (layer === undefined) return false
    this.#leases.use(leaseLayers(store, [layer.key]))
    this.#status?.present(digest)
    return true
  }

  write(digest: Digest, offset: number, data: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const spool = this.#spools.get(digest) ?? (await this.#begin(digest))
      if (offset !== spool.bytes)
        throw new CodedError('out_of_range', `blob ${digest} stands at ${spool.bytes} bytes, not at ${offset}`)
      this.#checkSpace(data.length)
      for (let at = 0; at < data.length; )
        at += (await spool.file.write(data, at, data.length - at, spool.bytes + at)).bytesWritten
      spool.bytes += data.length
      this.#status?.came(digest, spool.bytes)
    })
  }

  finish(parts: NewParts, signal: AbortSignal): Promise<ImageId> {
    return this.#inTurn(() => this.#finish(parts, AbortSignal.any([signal, this.#closing.signal])))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(new CodedError('canceled', 'the import was closed'))
    await this.#work.catch(() => {})
    for (const { name, file } of this.#spools.values()) {
      await file.close()
      await rm(join(this.#deps.store.layout.staging, name), { force: true })
      this.#deps.store.staging.delete(name)
    }
    this.#leases.dispose()
    this.#onClosed()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(() => {
      this.#closing.signal.throwIfAborted()
      return work().catch((err) => {
        throw namingDisk(err, this.#deps.store.layout.root)
      })
    })
    this.#work = done.catch(() => {})
    return done
  }

  async #begin(digest: Digest): Promise<Spool> {
    if (this.#spools.size >= maxBlobs) throw invalid(`an import may have at most ${maxBlobs} blobs`)
    const { store } = this.#deps
    const name = `${randomBytes(8).toString('hex')}.blob`
    store.staging.add(name)
    const spool = { name, file: await open(join(store.layout.staging, name), 'wx', 0o600), bytes: 0 }
    this.#spools.set(digest, spool)
    return spool
  }

  #checkSpace(bytes: number): void {
    const { store, settings } = this.#deps
    const { bavail, bsize } = statfsSync(store.layout.staging)
    if (bavail * bsize - bytes < settings.limits.reserveBytes)
      throw new DiskError('no space', `no space left for the blobs of an image: ${bavail * bsize} bytes are free`)
  }

  async #finish(parts: NewParts, signal: AbortSignal): Promise<ImageId> {
    this.#deps.admit(parts.transport)
    const { store } = this.#deps
    const manifest = this.#manifest(parts)
    // The brand holds: the config's digest is what an image id is.
    const id = manifest.config.digest as ImageId
    const { diffIds } = parseImageConfig(parts.config)
    using _lease = leaseLayers(store, diffIds as readonly LayerKey[])
    manifest.layers.forEach((blob, i) => {
      const spool = this.#spools.get(blob.digest)
      const diffId = diffIds[i]
      if (spool === undefined && !(diffId !== undefined && isSound(store.index.layer(diffId))))
        throw precondition(`blob ${blob.digest} was not sent and layer ${diffId} is not here`)
      if (spool !== undefined && spool.bytes !== blob.size)
        throw new CodedError('data_loss', `blob ${blob.digest} has ${spool.bytes} bytes, the manifest says ${blob.size}`)
    })
    const manifestDigest = digestOf(parts.manifest)
    const names = parts.names.flatMap((reference) => namesOf(reference, manifestDigest, id))
    const present = store.index.image(id)
    if (present !== undefined && present.origin === undefined && damageOf(store.index, present) === undefined)
      store.index.addNames(names)
    else
      await this.#deps.install(
        {
          id,
          resolved: { manifestDigest, manifest, rawManifest: parts.manifest },
          rawConfig: parts.config,
          platform: normalisePlatform(hostPlatform()),
          source: this.#noSource(),
          spooled: new Map([...this.#spools].map(([digest, { name }]) => [digest, name])),
          names,
          tell: (layers) => this.#status?.installed(layers),
        },
        signal,
      )
    this.#status?.recording()
    await store.index.flush()
    return id
  }

  #manifest({ manifest: bytes, mediaType, config, names }: NewParts): Manifest {
    if (bytes.length > maxManifestBytes) throw invalid(`manifest has ${bytes.length} bytes, more than ${maxManifestBytes}`)
    if (config.length > maxConfigBytes) throw invalid(`config has ${config.length} bytes, more than ${maxConfigBytes}`)
    for (const name of names) if (name.digest !== undefined) throw invalid(`name ${quote(nameOf(name))} must not have a digest`)
    const manifest = parseManifest(bytes, mediaType === '' ? undefined : mediaType)
    if (manifest.kind !== 'manifest') throw invalid('an index cannot be imported: choose the image of one platform')
    const found = digestIn(config, manifest.config.digest)
    if (found !== manifest.config.digest)
      throw new CodedError('data_loss', `config has the digest ${found}, the manifest says ${manifest.config.digest}`)
    return manifest
  }

  // Everything is here: nothing may be asked for elsewhere.
  #noSource(): InstallRequest['source'] {
    const { stallTimeoutMs, retryBaseMs } = this.#deps.settings
    return { endpoints: [], repository: 'import', registries: {}, stallTimeoutMs, retryBaseMs }
  }
}
