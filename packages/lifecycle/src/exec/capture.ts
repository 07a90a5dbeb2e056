import type { Readable } from 'node:stream'
import { delay } from '@coracle/base/signals'

/** Kept of each stream; the rest is read and thrown away, so that the program is not blocked. */
const maxBytes = 16 * 1024 * 1024
/** Kept by all captures of the process together. */
const maxTotalBytes = 128 * 1024 * 1024

let totalBytes = 0

/** Collects a stream in memory within limits. */
export class Capture implements Disposable {
  readonly #chunks: Buffer[] = []
  readonly #stream: Readable | undefined
  readonly #ended: Promise<void>
  #bytes = 0
  #disposed = false
  #lastDataAt = performance.now()

  constructor(stream: Readable | undefined) {
    this.#stream = stream
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ended = promise
    if (stream === undefined) resolve()
    stream?.on('data', (chunk: Buffer) => this.#keep(chunk))
    stream?.once('close', resolve)
    stream?.once('end', resolve)
    stream?.on('error', () => resolve())
  }

  /** Resolves when the stream ended, when nothing came for `silenceMs`, or at `limit` (of performance.now()). */
  async drained(silenceMs: number, limit: number): Promise<void> {
    const exitAt = performance.now()
    for (;;) {
      const silentUntil = Math.max(this.#lastDataAt, exitAt) + silenceMs
      const left = Math.min(silentUntil, limit) - performance.now()
      if (left <= 0) return
      const timer = new AbortController()
      const ended = await Promise.race([
        this.#ended.then(() => true),
        delay(left, timer.signal).then(
          () => false,
          () => false,
        ),
      ])
      timer.abort()
      if (ended) return
    }
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  #keep(chunk: Buffer): void {
    // What was read ahead may still come after the end.
    if (this.#disposed) return
    this.#lastDataAt = performance.now()
    const room = Math.min(maxBytes - this.#bytes, maxTotalBytes - totalBytes)
    if (room <= 0) return
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk
    this.#chunks.push(kept)
    this.#bytes += kept.length
    totalBytes += kept.length
  }

  [Symbol.dispose](): void {
    this.#disposed = true
    totalBytes -= this.#bytes
    this.#bytes = 0
    this.#stream?.destroy()
  }
}

/** For tests: bytes held by all captures. */
export const capturedBytes = (): number => totalBytes
