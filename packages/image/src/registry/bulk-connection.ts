// A connection for large bodies. Heads are read by Node's HTTP as on any connection; a body whose length is known can be taken over from
// there on and comes in large pieces of memory that is used again. A connection whose body was taken over serves no second request.
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Intake } from './intake.ts'
import type { HttpResponse } from './transport.ts'

/** A smaller body is no work, and its connection is worth more. */
const worthBytes = 8 * 1024 * 1024

/**
 * The body of an unread answer, each piece valid until the next one is asked for; undefined when it has to be read from the answer itself.
 * It ends after as many bytes as the answer's head promised and rejects with ECONNRESET when the connection ends before.
 */
export function bulkBody(response: HttpResponse): AsyncIterable<Buffer> | undefined {
  // An IncomingMessage, or a stream of HTTP/2.
  const { socket } = response as { readonly socket?: unknown }
  const { 'content-length': length = '', 'transfer-encoding': coding } = response.headers
  if (!(socket instanceof BulkConnection) || coding !== undefined || !/^\d{1,15}$/.test(length)) return undefined
  return Number(length) < worthBytes ? undefined : socket.takeOver(response, Number(length))
}

export class BulkConnection extends Duplex {
  readonly #socket: Socket
  readonly #intake: Intake
  #isTakenOver = false
  #isWanted = false
  #isOver = false
  /** Resolves the wait for the next bytes. */
  #wake = () => {}

  constructor(socket: Socket, intake: Intake) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    this.#intake = intake
    socket.on('connect', () => this.emit('connect'))
    socket.on('end', () => this.#end())
    socket.on('error', (err) => this.destroy(err))
    socket.on('close', () => {
      this.#end()
      // Whoever takes it out of an agent shall see that it is no use.
      if (this.listenerCount('data') === 0) this.destroy()
    })
    intake.attach(socket, () => this.#arrived())
  }

  /** As of a net.Socket. */
  get connecting(): boolean {
    return this.#socket.connecting
  }

  async *takeOver(response: HttpResponse, length: number): AsyncGenerator<Buffer> {
    const early = this.#takeFromStreams(response)
    let left = length
    for (let waiting = early.shift(); left > 0; waiting = early.shift()) {
      const bytes = waiting ?? (await this.#next())
      const piece = bytes.subarray(0, left)
      left -= piece.length
      yield piece
    }
  }

  override _read(): void {
    this.#isWanted = !this.#isTakenOver
    this.#arrived()
  }

  override _write(chunk: Buffer, _encoding: string, done: (err?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(err: Error | null, done: (err: Error | null) => void): void {
    this.#socket.destroy()
    this.#isOver = true
    this.#wake()
    done(err)
  }

  // What an agent asks of the connections that it keeps.
  setKeepAlive(...settings: Parameters<Socket['setKeepAlive']>): this {
    this.#socket.setKeepAlive(...settings)
    return this
  }

  setTimeout(...settings: Parameters<Socket['setTimeout']>): this {
    this.#socket.setTimeout(...settings)
    return this
  }

  ref(): this {
    this.#socket.ref()
    return this
  }

  unref(): this {
    this.#socket.unref()
    return this
  }

  /** From here on nothing goes to the parser any more; what it was given of the body comes back. */
  #takeFromStreams(response: HttpResponse): Buffer[] {
    this.#isTakenOver = true
    this.#isWanted = false
    this.removeAllListeners('data')
    // Nobody else listens to the answer now, and a connection that ends is told there, too.
    response.on('error', () => {})
    // The parser had the one before what waits here.
    return [response.read(), this.read()].filter((bytes): bytes is Buffer => bytes !== null)
  }

  async #next(): Promise<Buffer> {
    for (;;) {
      const bytes = this.#intake.take()
      if (bytes !== undefined) return bytes
      if (this.errored !== null) throw this.errored
      if (this.#isOver) throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      await promise
    }
  }

  #arrived(): void {
    this.#wake()
    // Once it is taken over nothing is wanted here any more.
    while (this.#isWanted) {
      const bytes = this.#intake.take()
      if (bytes === undefined) return
      this.#isWanted = this.push(Buffer.from(bytes))
    }
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#wake()
    // All of it, wanted or not: the end comes after it.
    if (this.#isTakenOver) return
    for (let bytes = this.#intake.take(); bytes !== undefined; bytes = this.#intake.take()) this.push(Buffer.from(bytes))
    this.push(null)
  }
}
