// The daemon's image store as the place to copy to: blobs go over the socket in pieces, the image is made of them at the end.
import { CodedError, codeOf, invalid } from '@coracle/base/errors'
import { Imports } from '@coracle/cri-api/imports'
import { Moving, type OpenImportResponse } from '@coracle/cri-api/moving'
import type { PullProgress } from '@coracle/cri-api/progress'
import type { ImageDestination, RawDocument } from '@coracle/image/moving'
import type { Descriptor } from '@coracle/oci-spec/image'
import { maxConfigBytes } from '@coracle/oci-spec/image-config'
import { isImageConfig } from '@coracle/oci-spec/media-type'
import type { Context } from '../context.ts'

const pieceBytes = 2 * 1024 * 1024

export type Imported = ImageDestination & { readonly imageId: () => string }

export type ImportRequest = {
  /** Full or short names; none: the image is known by its id. */
  readonly names: readonly string[]
  /** Where it comes from, as a signature policy calls it. */
  readonly transport: string
  /** For lists of what is under way: the command, and where the image comes from. */
  readonly command: string
  readonly from: string
  /** What the server says of the layers while it unpacks them. */
  readonly onUnpacking?: (progress: PullProgress) => void
}

/** Opens an import, which lives as long as the destination. */
export async function openStoreDestination(context: Context, request: ImportRequest, signal: AbortSignal): Promise<Imported> {
  const { names, transport } = request
  const client = context.imageClient.service(Moving)
  const closing = new AbortController()
  const stream = client.openImport({}, { signal: closing.signal })[Symbol.asyncIterator]()
  const first = await stream.next()
  if (first.done) throw new CodedError('internal', 'the server opened no import')
  // It ends with us, or with the server: the next call then tells.
  const open: Promise<IteratorResult<OpenImportResponse>> = stream.next()
  open.catch(() => {})
  const { importId } = first.value
  let config: Buffer | undefined
  let manifest: RawDocument | undefined
  let imageId = ''
  return {
    name: `store:${names[0] ?? ''}`,
    imageId: () => imageId,
    expect: (blobs) => describe(context, { importId, request, blobs }, signal),
    has: async ({ digest, mediaType }) =>
      !isImageConfig(mediaType) && (await client.hasBlob({ importId, digest }, { signal })).present,
    async writeBlob({ digest, size, mediaType }, content) {
      if (isImageConfig(mediaType)) {
        if (size > maxConfigBytes) throw invalid(`config ${digest} of ${size} bytes is larger than ${maxConfigBytes}`)
        config = Buffer.concat(await Array.fromAsync(content))
        return
      }
      let offset = 0
      for await (const data of pieces(content)) {
        await client.writeBlob({ importId, digest, offset: BigInt(offset), data }, { signal })
        offset += data.length
      }
      // A blob of no bytes is one too.
      if (offset === 0) await client.writeBlob({ importId, digest, offset: 0n, data: Buffer.alloc(0) }, { signal })
    },
    async writeDocument(document) {
      manifest = document
    },
    async commit() {
      if (manifest === undefined || config === undefined) throw invalid('what is copied is no image: it has no image config')
      const parts = { manifest: manifest.bytes, mediaType: manifest.mediaType, config }
      const finished = new AbortController()
      const watched = watch(context, { importId, onUnpacking: request.onUnpacking }, finished.signal)
      try {
        const reply = await client.finishImport({ importId, ...parts, names: [...names], transport }, { signal, timeoutMs: 0 })
        imageId = reply.imageId
      } finally {
        finished.abort()
        await watched
      }
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await open.catch(() => {})
    },
  }
}

type Described = { readonly importId: string; readonly request: ImportRequest; readonly blobs: readonly Descriptor[] }

async function describe(context: Context, { importId, request, blobs }: Described, signal: AbortSignal): Promise<void> {
  const layers = blobs.filter(({ mediaType }) => !isImageConfig(mediaType))
  const name = (request.names[0] ?? request.from).replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?').slice(0, 512)
  const sizes = layers.map(({ digest, size }) => ({ digest, size: BigInt(size) }))
  try {
    const waiter = `coracle ${request.command}`
    await context.imageClient.service(Imports).describeImport({ importId, name, waiter, blobs: sizes }, { signal })
  } catch (err) {
    // A server of before: the image gets there unseen.
    if (codeOf(err) !== 'unimplemented') throw err
  }
}

type Watched = { readonly importId: string; readonly onUnpacking: ImportRequest['onUnpacking'] }

/** Never fails: progress is a courtesy. */
async function watch(context: Context, { importId, onUnpacking }: Watched, finished: AbortSignal): Promise<void> {
  if (onUnpacking === undefined) return
  try {
    for await (const progress of context.imageClient.service(Imports).watchImport({ importId }, { signal: finished }))
      onUnpacking(progress)
  } catch {
    // The end of the import ends it.
  }
}

async function* pieces(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = []
  let length = 0
  for await (const chunk of content) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + pieceBytes - length)
      pending.push(part)
      length += part.length
      at += part.length
      if (length < pieceBytes) continue
      yield Buffer.concat(pending)
      pending = []
      length = 0
    }
  }
  if (length > 0) yield Buffer.concat(pending)
}
