import type { Readable } from 'node:stream'

/** Keeps the first `limit` bytes of a stream and reads the rest away, so that its writer never waits. */
export class OutputCapture {
  readonly #chunks: Buffer[] = []
  readonly #limit: number
  #bytes = 0
  #truncated = false
  /** Settles when the stream ended or failed. Never rejects. */
  readonly ended: Promise<void>

  constructor(stream: Readable, limit: number) {
    this.#limit = limit
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    stream.on('data', (chunk: Buffer) => this.#keep(chunk))
    stream.once('close', resolve)
    stream.once('end', resolve)
    stream.once('error', () => resolve())
  }

  #keep(chunk: Buffer): void {
    const room = this.#limit - this.#bytes
    if (chunk.length > room) this.#truncated = true
    if (room <= 0) return
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk
    this.#chunks.push(kept)
    this.#bytes += kept.length
  }

  get truncated(): boolean {
    return this.#truncated
  }

  take(): Buffer {
    return Buffer.concat(this.#chunks)
  }
}
