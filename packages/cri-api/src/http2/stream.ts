// One request and its reply.

const WINDOW_UPDATE_BYTES = 1 << 20
const CANCEL = 8

type Peer = {
  /** Tells the server that so many bytes have been read. */
  consumed(bytes: number): void
  reset(code: number): void
}

/** The reply: its bodies chunks in order, once; its headers and trailers by callback. */
export class ClientStream implements AsyncIterable<Buffer> {
  /** Called for the headers, and again for the trailers. */
  onHeaders: (headers: ReadonlyMap<string, string>) => void = () => {}
  /** Called once, when nothing more comes; with the reason unless the server has ended the reply. */
  onEnd: (err: Error | undefined) => void = () => {}
  readonly #peer: Peer
  #chunks: { readonly chunk: Buffer; readonly flowBytes: number }[] = []
  #consumedBytes = 0
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(peer: Peer) {
    this.#peer = peer
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const next = this.#chunks.shift()
      if (next) {
        yield next.chunk
        this.#acknowledge(next.flowBytes)
      } else if (this.#ended) {
        if (this.#error) throw this.#error
        return
      } else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** Wants no more: the server is told, the reader gets `err`. Without effect on a reply that has ended. */
  cancel(err: Error): void {
    if (this.#ended) return
    this.#peer.reset(CANCEL)
    this.fail(err)
  }

  receiveHeaders(headers: ReadonlyMap<string, string>): void {
    this.onHeaders(headers)
  }

  receive(chunk: Buffer, flowBytes: number): void {
    this.#chunks.push({ chunk, flowBytes })
    this.#wake?.()
  }

  finish(): void {
    this.#settle(undefined)
  }

  fail(err: Error): void {
    this.#chunks = []
    this.#settle(err)
  }

  #settle(err: Error | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = err
    this.#wake?.()
    this.onEnd(err)
  }

  #acknowledge(flowBytes: number): void {
    this.#consumedBytes += flowBytes
    if (this.#ended || this.#consumedBytes < WINDOW_UPDATE_BYTES) return
    this.#peer.consumed(this.#consumedBytes)
    this.#consumedBytes = 0
  }
}
