// The daemon's image store as the place to copy from. The config stays, and with it the image id; the manifest too where every layer is
// kept compressed or known to the destination. Other layers are made again (their diffIDs proven) and compressed anew.
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { CodedError, failed, precondition } from '@coracle/base/errors'
import { Moving, type ReadImageResponse } from '@coracle/cri-api/moving'
import {
  append,
  type Compressor,
  compressed,
  type ImageDestination,
  type ImageSource,
  nameless,
  parseDocument,
  type RawDocument,
  rawDocument,
} from '@coracle/image/moving'
import type { Digest } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { parseReference } from '@coracle/oci-spec/reference'
import type { Context } from '../context.ts'
import { formatBytes } from '../quantities.ts'
import { inOciTypes, withNewLayers } from './new-manifest.ts'

export type StoreSource = ImageSource & {
  readonly image: ReadImageResponse
  /** Why the manifest is another one than the image was pulled with. Empty: it is the same. */
  readonly changes: readonly string[]
}

type StoreRequest = {
  readonly name: string
  /** Asked for what it has already. */
  readonly destination: ImageDestination
  /** Undefined: as each layer was. */
  readonly compressor?: Compressor
  /** Fails instead of changing the manifest. */
  readonly preserveDigests: boolean
  /** Goes into an image layout, whose readers know OCI's media types only. */
  readonly toLayout?: boolean
  /** Told what goes on before the first blob can be read; empty at the end. */
  readonly doing: (words: string) => void
}

type Layer = {
  readonly diffId: string
  readonly descriptor: Descriptor
  readonly content: { readonly file: FileHandle } | 'blob' | 'elsewhere'
}

export async function openStoreSource(context: Context, request: StoreRequest, signal: AbortSignal): Promise<StoreSource> {
  const client = context.imageClient.service(Moving)
  const image = await client.readImage({ image: request.name }, { signal })
  const original = rawDocument(Buffer.from(image.manifest), undefined)
  const parsed = parseDocument(original)
  // The store holds images of one platform only.
  if (parsed.kind === 'index') throw new CodedError('internal', `image ${image.id} has an index for a manifest`)
  await using opened = new AsyncDisposableStack()
  const layers: Layer[] = []
  const made = new Map<string, Layer>()
  for (const [i, blob] of parsed.layers.entries()) {
    const stored = image.layers[i]
    if (stored === undefined) throw new CodedError('internal', `image ${image.id} has no diffID for layer ${i}`)
    const known = made.get(stored.diffId)
    const layer = known ?? (await layerOf({ context, request, image, opened, signal }, blob, stored))
    made.set(stored.diffId, layer)
    layers.push(layer)
  }
  const isChanged = layers.some(({ descriptor }, i) => descriptor.digest !== parsed.layers[i]?.digest)
  const packed: RawDocument = isChanged
    ? withNewLayers(
        original,
        layers.map(({ descriptor }) => descriptor),
      )
    : original
  const top = request.toLayout && !request.preserveDigests ? inOciTypes(packed) : packed
  const changes = [
    ...(isChanged ? ['layers are compressed anew'] : []),
    ...(top === packed ? [] : ['Docker’s media types become OCI’s, which readers of image layouts expect']),
  ]
  request.doing('')
  const files = opened.move()
  const contents = new Map<Digest, Layer>(layers.map((layer) => [layer.descriptor.digest, layer]))
  return {
    name: `store:${request.name}`,
    image,
    changes,
    top: async () => top,
    document: () => Promise.reject(new CodedError('not_found', 'the store holds no indexes')),
    async *blob({ digest }, blobSignal) {
      if (digest === parsed.config.digest) return yield Buffer.from(image.config)
      const layer = contents.get(digest)
      if (layer === undefined) throw new CodedError('not_found', `image ${image.id} has no blob ${digest}`)
      if (layer.content === 'blob') yield* bytesOf(client.readLayer({ diffId: layer.diffId, blob: true }, { signal: blobSignal }))
      else if (layer.content === 'elsewhere') throw precondition(`blob ${digest} was at the destination and is gone`)
      else yield* contentOf(layer.content.file, layer.descriptor.size)
    },
    [Symbol.asyncDispose]: () => files.disposeAsync(),
  }
}

type Making = {
  readonly context: Context
  readonly request: StoreRequest
  readonly image: ReadImageResponse
  readonly opened: AsyncDisposableStack
  readonly signal: AbortSignal
}

async function layerOf(making: Making, blob: Descriptor, stored: ReadImageResponse['layers'][number]): Promise<Layer> {
  const { request, image, signal } = making
  const { diffId } = stored
  if (stored.hasBlob) return { diffId, descriptor: blob, content: 'blob' }
  if (await isAtDestination(request.destination, image, { blob, signal }))
    return { diffId, descriptor: blob, content: 'elsewhere' }
  const compressor = request.compressor ?? compressorOf(blob)
  if (request.preserveDigests && compressor !== 'none')
    throw precondition(
      `the compressed form of layer ${blob.digest} is not kept (images.keep_blobs): its digest cannot be preserved`,
    )
  return remade(making, { blob, diffId, compressor })
}

// Another repository of the same registry may have it: it is asked to take it from there.
async function isAtDestination(
  destination: ImageDestination,
  image: ReadImageResponse,
  { blob, signal }: { readonly blob: Descriptor; readonly signal: AbortSignal },
): Promise<boolean> {
  if (await destination.has(blob, undefined, signal)) return true
  const repositories = [...image.repoTags, ...image.repoDigests].map(parseReference)
  const seen = new Set<string>()
  for (const { registry, repository } of repositories) {
    if (seen.has(`${registry}/${repository}`)) continue
    seen.add(`${registry}/${repository}`)
    if (await destination.has(blob, { registry, repository }, signal)) return true
  }
  return false
}

function compressorOf({ mediaType }: Descriptor): Compressor {
  if (/[+.]gzip$/.test(mediaType)) return 'gzip'
  return /[+.]zstd$/.test(mediaType) ? 'zstd' : 'none'
}

async function remade(
  { context, request, image, opened, signal }: Making,
  { blob, diffId, compressor }: { readonly blob: Descriptor; readonly diffId: string; readonly compressor: Compressor },
): Promise<Layer> {
  const client = context.imageClient.service(Moving)
  const file = opened.use(await nameless())
  const plain = createHash('sha256')
  // What is not compressed has one digest.
  const hash = compressor === 'none' ? plain : createHash('sha256')
  const archive = async function* () {
    for await (const chunk of bytesOf(client.readLayer({ diffId }, { signal }))) {
      plain.update(chunk)
      yield chunk
    }
  }
  let size = 0
  const place = image.layers.findIndex((layer) => layer.diffId === diffId) + 1
  try {
    for await (const chunk of compressed(archive(), compressor)) {
      if (hash !== plain) hash.update(chunk)
      size += chunk.length
      request.doing(`taking layer ${place} of ${image.layers.length} out of the store, ${formatBytes(size)}`)
      await append(file, chunk)
    }
  } catch (err) {
    throw failed(`take layer ${diffId} out of the store`, err)
  }
  const found = `sha256:${plain.copy().digest('hex')}`
  if (diffId.startsWith('sha256:') && found !== diffId)
    throw new CodedError('data_loss', `layer ${diffId} came with the digest ${found}`)
  // The brand holds: a hash is what parseDigest would accept.
  const digest = `sha256:${hash.digest('hex')}` as Digest
  return { diffId, descriptor: { mediaType: mediaTypeFor(blob.mediaType, compressor), digest, size }, content: { file } }
}

/** The layer's type with another compression. */
function mediaTypeFor(mediaType: string, compressor: Compressor): string {
  const bare = mediaType.replace(/[+.](gzip|zstd)$/, '')
  if (compressor === 'none') return bare
  return `${bare}${bare.includes('.docker.') ? '.' : '+'}${compressor}`
}

async function* bytesOf(replies: AsyncIterable<{ readonly data: Uint8Array }>): AsyncGenerator<Buffer> {
  for await (const { data } of replies) yield Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

async function* contentOf(file: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(1024 * 1024, size - at)), 0, undefined, at)
    if (bytesRead === 0) throw new CodedError('data_loss', 'a temporary file became shorter')
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
