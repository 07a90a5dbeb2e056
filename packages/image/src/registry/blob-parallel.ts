// A large blob over several connections: where one connection turns out slow (latency, loss), what lies ahead is fetched beside it in
// pieces by Range and handed out in order. One that is fast, small, or from a server without ranges stays alone.
import type { Descriptor } from '@coracle/oci-spec/image'
import { type DownloadOptions, downloadBlob, RangeRefused } from './blob.ts'
import type { RegistryClient } from './client.ts'

export interface ParallelOptions extends DownloadOptions {
  /** At once for one blob; 1: never more. */
  readonly connections: number
  /** Waited for bytes this long before the one connection is judged. */
  readonly judgedAfterMs?: number
  /** A connection that is faster is left alone. */
  readonly slowBytesPerMs?: number
  readonly pieceBytes?: number
}

const defaults = { judgedAfterMs: 1000, slowBytesPerMs: 16 * 1024, pieceBytes: 4 * 1024 * 1024 }
// Of all blobs of this process: what waits in memory for its turn stays below 64 MiB.
const maxPieces = 12
let piecesHeld = 0

/** Yields what downloadBlob would, from `options.from` on. */
export async function* downloadParallel(
  client: RegistryClient,
  descriptor: Descriptor,
  options: ParallelOptions,
): AsyncGenerator<Buffer> {
  const { judgedAfterMs, slowBytesPerMs, pieceBytes } = { ...defaults, ...options }
  const end = options.to ?? descriptor.size
  let offset = options.from ?? 0
  const from = offset
  let waitedMs = 0
  let ahead: Ahead | undefined
  const first = downloadBlob(client, descriptor, options)
  try {
    for (let judged = options.connections < 2; ; ) {
      const askedAt = performance.now()
      const next = await first.next()
      if (next.done) return
      waitedMs += performance.now() - askedAt
      const chunk = ahead === undefined ? next.value : next.value.subarray(0, ahead.from - offset)
      offset += chunk.length
      yield chunk
      if (ahead !== undefined && offset === ahead.from) {
        if (await ahead.works()) break
        ahead.stop()
        ahead = undefined
        const rest = next.value.subarray(chunk.length)
        offset += rest.length
        if (rest.length > 0) yield rest
      }
      if (!judged && waitedMs >= judgedAfterMs) {
        judged = true
        const isSlow = (offset - from) / waitedMs < slowBytesPerMs
        if (isSlow && end - offset > 3 * pieceBytes)
          ahead = new Ahead({ client, descriptor, options, from: offset + pieceBytes, end, pieceBytes })
      }
    }
    await first.return(undefined)
    yield* ahead
  } finally {
    ahead?.stop()
    await first.return(undefined)
  }
}

interface AheadRequest {
  readonly client: RegistryClient
  readonly descriptor: Descriptor
  readonly options: ParallelOptions
  readonly from: number
  readonly end: number
  readonly pieceBytes: number
}

/** The pieces from a place on, fetched a few at a time. */
class Ahead implements AsyncIterable<Buffer> {
  readonly #request: AheadRequest
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #pieces: Promise<Buffer>[] = []
  #next: number

  constructor(request: AheadRequest) {
    this.#request = request
    this.#next = request.from
    this.#signal = AbortSignal.any([request.options.signal, this.#stop.signal])
    this.#fill()
  }

  get from(): number {
    return this.#request.from
  }

  /** False when the server has no ranges: then nothing was fetched. Other failures show when it is iterated. */
  async works(): Promise<boolean> {
    try {
      await this.#pieces[0]
      return true
    } catch (err) {
      return !(err instanceof RangeRefused)
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const piece = this.#pieces[0]
      if (piece === undefined) return
      const bytes = await piece
      this.#pieces.shift()
      piecesHeld--
      this.#fill()
      yield bytes
    }
  }

  stop(): void {
    this.#stop.abort(new DOMException('no longer needed', 'AbortError'))
    piecesHeld -= this.#pieces.length
    this.#pieces.length = 0
    this.#next = this.#request.end
  }

  // One piece is always allowed, so that everybody gets on.
  #fill(): void {
    const { options, end, pieceBytes } = this.#request
    while (
      this.#next < end &&
      this.#pieces.length < options.connections &&
      (this.#pieces.length === 0 || piecesHeld < maxPieces)
    ) {
      const piece = this.#fetch(this.#next, Math.min(end, this.#next + pieceBytes))
      // Looked at when its turn comes.
      piece.catch(() => {})
      this.#pieces.push(piece)
      piecesHeld++
      this.#next += pieceBytes
    }
  }

  async #fetch(from: number, to: number): Promise<Buffer> {
    const { client, descriptor, options } = this.#request
    const piece = Buffer.allocUnsafeSlow(to - from)
    let at = 0
    for await (const chunk of downloadBlob(client, descriptor, { ...options, signal: this.#signal, from, to, rangeOnly: true }))
      at += chunk.copy(piece, at)
    return piece
  }
}
