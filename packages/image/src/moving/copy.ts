// Copying an image: every blob is hashed while it passes, and a manifest is written only when all that it names is there.
import { createHash } from 'node:crypto'
import { CodedError, failed } from '@coracle/base/errors'
import { Limiter } from '@coracle/base/limiter'
import { algorithmOf, type Digest } from '@coracle/oci-spec/digest'
import type { Descriptor, Platform } from '@coracle/oci-spec/image'
import { choosePlatform, formatPlatform, hostPlatform } from '@coracle/oci-spec/platform'
import { parseDocument } from './document.ts'
import type { ImageDestination, ImageSource, RawDocument } from './image-transfer.ts'

export interface CopyOptions {
  /** Every image of an index and the index itself, not only the one for `platform`. */
  readonly all?: boolean
  /** Default: this machine's. */
  readonly platform?: Platform
  /** The blobs of a manifest, before the first of them is copied. */
  readonly onBlobs?: (blobs: readonly Descriptor[]) => void
  /** So many bytes of it went on. */
  readonly onBytes?: (descriptor: Descriptor, bytes: number) => void
  readonly onBlob?: (descriptor: Descriptor, state: 'copied' | 'already there') => void
}

export interface Copied {
  /** Of what the destination's name now stands for. */
  readonly digest: Digest
  readonly mediaType: string
}

const blobsAtOnce = 3

/** Throws `data_loss` when something is not what its digest says; `not_found` when the index has nothing for the platform. */
export async function copyImage(
  { source, destination, ...options }: CopyOptions & { readonly source: ImageSource; readonly destination: ImageDestination },
  signal: AbortSignal,
): Promise<Copied> {
  const copy = { source, destination, options, done: new Set<Digest>(), limiter: new Limiter(blobsAtOnce) }
  const top = await source.top(signal)
  const wanted = options.all ? top : await forPlatform(source, top, { platform: options.platform ?? hostPlatform(), signal })
  await copyDocument(copy, { document: wanted, isTop: true, depth: 0 }, signal)
  await destination.commit(signal)
  return { digest: wanted.digest, mediaType: wanted.mediaType }
}

/** The manifest of `platform`: `top` itself, or the one that the index names. */
export async function forPlatform(
  source: Pick<ImageSource, 'document'>,
  top: RawDocument,
  { platform, signal }: { readonly platform: Platform; readonly signal: AbortSignal },
): Promise<RawDocument> {
  let found = top
  for (let depth = 0; ; depth++) {
    const document = parseDocument(found)
    if (document.kind === 'manifest') return found
    if (depth === 2) throw new CodedError('invalid_argument', 'index is nested deeper than 2 levels')
    const { manifests } = document
    const chosen = choosePlatform(manifests, platform)
    if (chosen === undefined) {
      const offered = manifests.map((entry) => (entry.platform ? formatPlatform(entry.platform) : 'unnamed'))
      throw new CodedError(
        'not_found',
        `no image for platform ${formatPlatform(platform)}: the index offers ${[...new Set(offered)].join(', ')}`,
      )
    }
    found = await source.document(chosen, signal)
  }
}

interface Copy {
  readonly source: ImageSource
  readonly destination: ImageDestination
  readonly options: CopyOptions
  readonly done: Set<Digest>
  readonly limiter: Limiter
}

interface Step {
  readonly document: RawDocument
  readonly isTop: boolean
  readonly depth: number
}

async function copyDocument(copy: Copy, { document, isTop, depth }: Step, signal: AbortSignal): Promise<void> {
  const parsed = parseDocument(document)
  if (parsed.kind === 'index') {
    if (depth === 2) throw new CodedError('invalid_argument', 'index is nested deeper than 2 levels')
    for (const descriptor of parsed.manifests) {
      if (copy.done.has(descriptor.digest)) continue
      copy.done.add(descriptor.digest)
      const child = await copy.source.document(descriptor, signal)
      await copyDocument(copy, { document: child, isTop: false, depth: depth + 1 }, signal)
    }
  } else await copyBlobs(copy, [...parsed.layers, parsed.config], signal)
  await copy.destination.writeDocument(document, isTop, signal)
}

async function copyBlobs(copy: Copy, blobs: readonly Descriptor[], caller: AbortSignal): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([caller, stop.signal])
  const missing = blobs.filter(({ digest }) => !copy.done.has(digest) && copy.done.add(digest))
  copy.options.onBlobs?.(missing)
  await copy.destination.expect?.(missing, signal)
  const work = missing.map((blob) => copy.limiter.run(signal, () => copyBlob(copy, blob, signal)))
  try {
    await Promise.all(work)
  } catch (err) {
    stop.abort(err)
    await Promise.allSettled(work)
    throw err
  }
}

async function copyBlob({ source, destination, options }: Copy, blob: Descriptor, signal: AbortSignal): Promise<void> {
  if (await destination.has(blob, source.repository, signal)) return options.onBlob?.(blob, 'already there')
  try {
    await destination.writeBlob(blob, counted(blob, verified(blob, source.blob(blob, signal)), options.onBytes), signal)
  } catch (err) {
    signal.throwIfAborted()
    throw failed(`copy blob ${blob.digest} from ${source.name}`, err)
  }
  options.onBlob?.(blob, 'copied')
}

async function* counted(blob: Descriptor, content: AsyncIterable<Buffer>, tell: CopyOptions['onBytes']): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of content) {
    yield chunk
    // Whoever took it asks for the next when it has gone on.
    bytes += chunk.length
    tell?.(blob, bytes)
  }
}

/** Passes the bytes on; throws `data_loss` at the end, or as soon as there are too many. */
export async function* verified(
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  content: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const hash = createHash(algorithmOf(digest))
  let bytes = 0
  for await (const chunk of content) {
    bytes += chunk.length
    if (bytes > size) throw new CodedError('data_loss', `blob ${digest} has more than the ${size} bytes that its manifest says`)
    hash.update(chunk)
    yield chunk
  }
  if (bytes !== size) throw new CodedError('data_loss', `blob ${digest} has ${bytes} bytes, its manifest says ${size}`)
  const found = `${algorithmOf(digest)}:${hash.digest('hex')}`
  if (found !== digest) throw new CodedError('data_loss', `blob ${digest} has the digest ${found}`)
}

/** A small blob as a whole, checked. */
export async function readBlob(
  source: ImageSource,
  blob: Descriptor,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
) {
  if (blob.size > maxBytes)
    throw new CodedError('invalid_argument', `blob ${blob.digest} of ${blob.size} bytes is larger than ${maxBytes}`)
  return Buffer.concat(await Array.fromAsync(verified(blob, source.blob(blob, signal))))
}
