// Streams of bytes, compressed and not. What is compressed is told by its first bytes.
import { Readable, type Transform } from 'node:stream'
import zlib from 'node:zlib'
import { failed } from '@coracle/base/errors'
import { outputBytes, sniff, windowLog } from '../unpack/decompress.ts'
import { gzip } from './gzip.ts'

/** The bytes without gzip or zstd around them. Throws `invalid_argument` for broken data and other compressions. */
export async function* decompressed(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const [start, all] = await peek(content)
  const kind = sniff(start)
  if (kind === 'none') return yield* all
  const stream =
    kind === 'gzip'
      ? zlib.createGunzip({ chunkSize: outputBytes })
      : zlib.createZstdDecompress({ chunkSize: outputBytes, params: { [zlib.constants.ZSTD_d_windowLogMax]: windowLog } })
  yield* through(all, stream)
}

export type Compressor = 'gzip' | 'zstd' | 'none'

export function compressed(content: AsyncIterable<Buffer>, compressor: Compressor): AsyncIterable<Buffer> {
  if (compressor === 'none') return content
  return compressor === 'gzip' ? gzip(content) : through(content, zlib.createZstdCompress())
}

async function* through(content: AsyncIterable<Buffer>, stream: Transform): AsyncGenerator<Buffer> {
  const input = Readable.from(content, { objectMode: false })
  input.on('error', (err) => stream.destroy(err))
  input.pipe(stream)
  try {
    yield* stream
  } catch (err) {
    throw err instanceof Error && 'code' in err && /^(Z_|ZSTD_)/.test(String(err.code))
      ? failed('compressed data is broken', err)
      : err
  } finally {
    input.destroy()
  }
}

/** The first four bytes or fewer, and everything again. */
export async function peek(content: AsyncIterable<Buffer>): Promise<[Buffer, AsyncGenerator<Buffer>]> {
  const iterator = content[Symbol.asyncIterator]()
  let start: Buffer = Buffer.alloc(0)
  while (start.length < 4) {
    const next = await iterator.next()
    if (next.done) break
    start = start.length === 0 ? next.value : Buffer.concat([start, next.value])
  }
  const all = async function* () {
    try {
      if (start.length > 0) yield start
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  }
  return [start, all()]
}

/** The compression that the first bytes tell, and all bytes again. */
export async function sniffStream(content: AsyncIterable<Buffer>): Promise<[Compressor, AsyncGenerator<Buffer>]> {
  const [start, all] = await peek(content)
  return [sniff(start), all]
}
