// Decompression of a layer: the kind is told by the first bytes, never by a name. The stream is for a Node whose zlib is not as
// inflate-sync.ts knows it.
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import { CodedError } from '@coracle/base/errors'
import { archiveError } from '../tar/errors.ts'

export type Compression = 'gzip' | 'zstd' | 'none'

// What tar reads at once, and what one hop to the pool yields.
export const outputBytes = 256 * 1024
// zstd's own default limit: a 128 MiB window.
export const windowLog = 27

/** Throws `invalid_argument` for compressions that are not supported. */
export function sniff(start: Buffer): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip'
  if (start.length >= 4) {
    const magic = start.readUInt32LE(0)
    // A frame, or a skippable one before it.
    if (magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50) return 'zstd'
    if (magic === 0x587a37fd) throw archiveError('it is compressed with xz: expected gzip, zstd or none')
    if ((magic & 0xffffff) === 0x685a42) throw archiveError('it is compressed with bzip2: expected gzip, zstd or none')
  }
  return 'none'
}

function createStream(compression: 'gzip' | 'zstd'): Transform {
  if (compression === 'gzip') return zlib.createGunzip({ chunkSize: outputBytes })
  return zlib.createZstdDecompress({ chunkSize: outputBytes, params: { [zlib.constants.ZSTD_d_windowLogMax]: windowLog } })
}

export interface Inflater {
  /** Takes compressed bytes; resolves when it can take more. */
  write(chunk: Buffer): Promise<void>
  /** No more bytes. */
  end(): void
  /** The decompressed bytes. */
  readonly output: AsyncIterable<Buffer>
  fail(reason: unknown): void
}

export function createInflater(compression: 'gzip' | 'zstd'): Inflater {
  const stream = createStream(compression)
  let ended = false
  const wake = { resolve: () => {} }
  const settle = () => wake.resolve()
  stream.on('drain', settle)
  stream.once('end', () => {
    // Zero padding after the last member: the rest is only hashed.
    ended = true
    settle()
  })
  stream.once('close', settle)
  stream.on('error', settle)
  return {
    output: translated(stream, compression),
    async write(chunk) {
      if (ended || stream.destroyed || stream.write(chunk)) return
      const { promise, resolve } = Promise.withResolvers<void>()
      wake.resolve = resolve
      await promise
    },
    end: () => void (ended || stream.end()),
    fail: (reason) => void stream.destroy(reason instanceof Error ? reason : new Error(String(reason))),
  }
}

async function* translated(stream: Transform, compression: Compression): AsyncGenerator<Buffer> {
  try {
    yield* stream
  } catch (err) {
    if (err instanceof CodedError || !(err instanceof Error) || !('code' in err) || !/^(Z_|ZSTD_)/.test(String(err.code)))
      throw err
    throw archiveError(`its ${compression} data is broken`, err)
  }
}
