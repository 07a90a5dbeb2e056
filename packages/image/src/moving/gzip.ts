// Compression with gzip, as quick as this machine can. What reads it does not matter to the choice: it is gzip.
import { type GzipWriter, loadIsalGzip } from '@coracle/host/isal-deflate'
import { parallelGzip } from './parallel-gzip.ts'

// Measured (docs/benchmarks.md): level 6 takes 1.7 times as long for 3 % less.
const zlibLevel = 4
const pieceBytes = 1024 * 1024

let isal: { readonly create: (() => GzipWriter) | undefined } | undefined

/** By ISA-L on one thread beside this one where the library is installed, else by zlib on all processors. */
export function gzip(content: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  isal ??= { create: loadIsalGzip() }
  return isal.create === undefined ? parallelGzip(content, zlibLevel) : byWriter(isal.create(), content)
}

/** One piece is being compressed while the next is fetched and the one before goes on. */
async function* byWriter(writer: GzipWriter, content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let running: Promise<Buffer> | undefined
  try {
    for await (const piece of pieces(content)) {
      const done = await running
      running = writer.write(piece)
      // It is awaited, unless whoever reads stops early.
      running.catch(() => {})
      if (done !== undefined && done.length > 0) yield done
    }
    const last = await running
    running = undefined
    if (last !== undefined) yield last
    yield await writer.finish()
  } finally {
    // The library writes to memory of the writer until then.
    await running?.catch(() => {})
  }
}

/** Calls to another thread cost more than small pieces are worth. */
async function* pieces(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = []
  let length = 0
  for await (const chunk of content) {
    pending.push(chunk)
    length += chunk.length
    if (length < pieceBytes) continue
    yield pending.length === 1 ? chunk : Buffer.concat(pending)
    pending = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(pending)
}
