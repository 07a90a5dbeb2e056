// gzip on all processors: blocks side by side, each with the end of the one before it as its dictionary, together one member as from one
// compressor (RFC 1951, 1952). The same content gives the same bytes, in whatever pieces it comes.
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import zlib from 'node:zlib'

const blockBytes = 512 * 1024
// As far as a match can reach back.
const dictionaryBytes = 32 * 1024
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
// A last block of fixed codes with nothing in it.
const lastBlock = Buffer.from([3, 0])

const deflateRaw = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.deflateRaw)

/** `level` as of zlib, 1 to 9. */
export async function* parallelGzip(content: AsyncIterable<Buffer>, level: number): AsyncGenerator<Buffer> {
  const atOnce = availableParallelism() + 1
  const running: Promise<Buffer>[] = []
  let [crc, sizeBytes] = [0, 0]
  let dictionary: Buffer | undefined
  yield header
  try {
    for await (const block of blocks(content)) {
      crc = zlib.crc32(block, crc)
      sizeBytes += block.length
      const options = { level, memLevel: 9, chunkSize: 256 * 1024, finishFlush: zlib.constants.Z_SYNC_FLUSH }
      const compressed = deflateRaw(block, dictionary === undefined ? options : { ...options, dictionary })
      // Whoever stops reading early does not wait for it.
      compressed.catch(() => {})
      running.push(compressed)
      dictionary = block.subarray(-dictionaryBytes)
      if (running.length >= atOnce) yield (await running.shift()) ?? Buffer.alloc(0)
    }
    for (const compressed of running.splice(0)) yield await compressed
  } finally {
    await Promise.allSettled(running)
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(sizeBytes % 2 ** 32, 4)
  yield Buffer.concat([lastBlock, trailer])
}

/** Of equal size whatever the pieces are; they are kept while they are compressed. */
async function* blocks(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafeSlow(blockBytes)
  let fill = 0
  for await (const piece of content) {
    for (let at = 0; at < piece.length; ) {
      const length = piece.copy(block, fill, at)
      at += length
      fill += length
      if (fill < blockBytes) continue
      yield block
      block = Buffer.allocUnsafeSlow(blockBytes)
      fill = 0
    }
  }
  if (fill > 0) yield block.subarray(0, fill)
}
