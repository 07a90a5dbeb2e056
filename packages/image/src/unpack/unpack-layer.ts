// One layer from the registry to its directory: downloaded, hashed, decompressed, hashed again and extracted while the bytes pass.
import { createHash, type Hash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import type { GzipReader } from '@coracle/host/isal'
import { algorithmOf, type Digest } from '@coracle/oci-spec/digest'
import { RegistryError } from '../registry/errors.ts'
import type { SkeletonRecorder } from '../skeleton/recorder.ts'
import { TarReader, type TarSink } from '../tar/reader.ts'
import type { TreeRecorder } from '../tree/recorder.ts'
import { createInflater, type Inflater, sniff } from './decompress.ts'
import type { Extractor } from './extract.ts'
import { IsalInflater } from './inflate-isal.ts'
import { createSyncInflater, type SyncInflater } from './inflate-sync.ts'
import type { LayerJob, UnpackedLayer } from './messages.ts'

export interface UnpackRequest {
  readonly job: LayerJob
  readonly extractor: Extractor
  /** Hands all that comes on to the extractor. */
  readonly recorder: TreeRecorder
  /** Stands before the recorder. */
  readonly sink?: TarSink
  readonly skeleton: SkeletonRecorder
  /** A file that gets the blob as it is. */
  readonly keptFd?: number
  /** The blob as it comes, not checked yet; each piece valid until the next one is asked for. */
  readonly content: AsyncIterable<Buffer>
  /** Reads gzip faster than zlib, where it is installed. */
  readonly createGzipReader: (() => GzipReader) | undefined
  /** Makes the layer's directory the root of this thread. Called before every piece of file work, as other layers are in turn too. */
  readonly enter: () => void
  readonly onDownloaded: (bytes: number) => void
  readonly signal: AbortSignal
}

/** Throws `data_loss` when blob or content are not what their digests say. */
export async function unpackLayer(request: UnpackRequest): Promise<UnpackedLayer> {
  const { job, extractor, recorder, skeleton, enter } = request
  const reader = new TarReader(request.sink ?? recorder, skeleton.add)
  const contentHash = createHash(algorithmOf(job.diffId))
  let contentBytes = 0
  const consume = (chunk: Buffer) => {
    contentHash.update(chunk)
    contentBytes += chunk.length
    if (contentBytes > job.limits.maxUnpackedBytes)
      throw new CodedError('resource_exhausted', `layer unpacks to more than ${job.limits.maxUnpackedBytes} bytes`)
    enter()
    reader.push(chunk)
  }
  try {
    await pump(request, consume)
    enter()
    reader.finish()
    const found = digestOf(contentHash, job.diffId)
    if (found !== job.diffId)
      throw new CodedError(
        'data_loss',
        `layer ${job.blob.digest} unpacks to content with the digest ${found}, the image config says ${job.diffId}`,
      )
    return {
      ...extractor.finish(),
      treeDigest: recorder.finish(),
      skeletonDigest: skeleton.finish(),
      hasBlob: request.keptFd !== undefined,
    }
  } catch (err) {
    extractor.abandon()
    throw err
  }
}

async function pump(request: UnpackRequest, consume: (chunk: Buffer) => void): Promise<void> {
  const { blob } = request.job
  const hash = createHash(algorithmOf(blob.digest))
  const chunks = hashed(request, hash)
  const first = await firstBytes(chunks)
  const compression = sniff(first)
  if (compression === 'none') {
    consume(first)
    for await (const chunk of chunks) consume(chunk)
  } else {
    const here = inflaterFor(compression, request)
    if (here !== undefined) await inflateHere(here, { first, chunks, consume })
    else await inflate(createInflater(compression), { first, chunks, consume })
  }
  const found = digestOf(hash, blob.digest)
  if (found !== blob.digest)
    throw new RegistryError('corrupt', `${hostsOf(request.job)} sends bytes with the digest ${found} as blob ${blob.digest}`)
}

const hostsOf = ({ source }: LayerJob): string => [...new Set(source.endpoints.map(({ host }) => host))].join(' or ')

function inflaterFor(compression: 'gzip' | 'zstd', { job, createGzipReader }: UnpackRequest): SyncInflater | undefined {
  if (compression === 'zstd') return createSyncInflater(compression)
  if (job.gunzip === 'fastest' && createGzipReader !== undefined) return new IsalInflater(createGzipReader())
  return job.gunzip === 'stream' ? undefined : createSyncInflater(compression)
}

async function* hashed(request: UnpackRequest, hash: Hash): AsyncGenerator<Buffer> {
  const { signal } = request
  let bytes = 0
  for await (const chunk of request.content) {
    signal.throwIfAborted()
    hash.update(chunk)
    bytes += chunk.length
    if (request.keptFd !== undefined) keep(request.keptFd, chunk)
    request.onDownloaded(bytes)
    yield chunk
  }
}

function keep(fd: number, chunk: Buffer): void {
  try {
    for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at)
  } catch (err) {
    if (!isErrno(err, 'ENOSPC', 'EDQUOT')) throw err
    throw new CodedError('resource_exhausted', 'no space left to keep the blob of a layer', { cause: err })
  }
}

// Enough to tell the compression; fewer only when there are no more.
async function firstBytes(chunks: AsyncGenerator<Buffer>): Promise<Buffer> {
  let first: Buffer = Buffer.alloc(0)
  while (first.length < 4) {
    const next = await chunks.next()
    if (next.done) break
    // Too few to stand alone are copied: they are valid only until the next come.
    first = first.length === 0 && next.value.length >= 4 ? next.value : Buffer.concat([first, next.value])
  }
  return first
}

interface Inflation {
  readonly first: Buffer
  readonly chunks: AsyncGenerator<Buffer>
  readonly consume: (chunk: Buffer) => void
}

async function inflateHere(inflater: SyncInflater, { first, chunks, consume }: Inflation): Promise<void> {
  try {
    inflater.push(first, consume)
    for await (const chunk of chunks) inflater.push(chunk, consume)
    inflater.finish(consume)
  } finally {
    inflater.close()
  }
}

async function inflate(inflater: Inflater, { first, chunks, consume }: Inflation): Promise<void> {
  const feed = async () => {
    try {
      // A stream keeps what it is given.
      await inflater.write(Buffer.from(first))
      for await (const chunk of chunks) await inflater.write(Buffer.from(chunk))
      inflater.end()
    } catch (err) {
      inflater.fail(err)
      throw err
    }
  }
  const drain = async () => {
    try {
      for await (const chunk of inflater.output) consume(chunk)
    } catch (err) {
      inflater.fail(err)
      // Ends the download; the generator's own end is of no interest.
      void chunks.return(undefined).catch(() => {})
      throw err
    }
  }
  const [fed, drained] = await Promise.allSettled([feed(), drain()])
  if (drained.status === 'rejected') throw drained.reason
  if (fed.status === 'rejected') throw fed.reason
}

// The brand holds: a hash is what parseDigest would accept.
const digestOf = (hash: Hash, like: Digest): Digest => `${algorithmOf(like)}:${hash.digest('hex')}` as Digest
