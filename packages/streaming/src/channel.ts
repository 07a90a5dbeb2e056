// One stream of a session (a SPDY stream, a WebSocket channel): its two halves as Node streams, each with bounded memory.
import { Readable, Writable } from 'node:stream'
import { CodedError } from '@coracle/base/errors'

/** What a channel asks of the session it belongs to. */
export interface ChannelOwner {
  /** There is output to send, or its end. The session calls `take` when the channel's turn comes. */
  ready(channel: Channel): void
  /** The reader took a piece out of the queue. */
  consumed(channel: Channel, bytes: number): void
  /** The reader or writer gave up: nobody here is interested in the stream any more. */
  abandoned(channel: Channel): void
}

const HIGH_WATER_BYTES = 64 * 1024
/** Charged for each queued piece on top of its bytes, so that many tiny pieces cannot hide their cost. */
const PIECE_OVERHEAD_BYTES = 128

export const charge = (bytes: number): number => bytes + PIECE_OVERHEAD_BYTES

export class Channel {
  /** SPDY stream id or WebSocket channel number. */
  readonly key: number
  readonly #owner: ChannelOwner
  readonly #inbound: Buffer[] = []
  #inboundEnded = false
  #readerWaits = false
  #discardInput = false
  #readable: Readable | undefined
  #writable: Writable | undefined
  #outbound: Buffer[] = []
  #outboundBytes = 0
  #written: (() => void) | undefined
  #finish: (() => void) | undefined
  #discardOutput = false
  #failure: Error | undefined

  constructor(key: number, owner: ChannelOwner) {
    this.key = key
    this.#owner = owner
  }

  /** What the peer sends, made when first asked for. */
  get readable(): Readable {
    this.#readable ??= this.#makeReadable()
    return this.#readable
  }

  /** What goes to the peer, made when first asked for. */
  get writable(): Writable {
    this.#writable ??= this.#makeWritable()
    return this.#writable
  }

  /** Drops what the peer sent and will send. */
  discardInput(): void {
    this.#discardInput = true
    for (const piece of this.#inbound.splice(0)) this.#owner.consumed(this, piece.length)
  }

  /** Why both halves were destroyed. */
  get failure(): Error | undefined {
    return this.#failure
  }

  // --- for the session: input

  deliver(piece: Buffer): void {
    if (piece.length === 0) return
    if (this.#discardInput || this.#failure !== undefined || this.#inboundEnded) {
      this.#owner.consumed(this, piece.length)
    } else if (this.#readerWaits && this.#readable !== undefined) {
      this.#readerWaits = this.#readable.push(piece)
      this.#owner.consumed(this, piece.length)
    } else this.#inbound.push(piece)
  }

  deliverEnd(): void {
    this.#inboundEnded = true
    if (this.#inbound.length === 0) this.#readable?.push(null)
  }

  /** The session or the stream is over: both halves are destroyed with `error`, what was queued is dropped. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.discardInput()
    this.#forgetOutput()
    if (this.#readable !== undefined && !this.#readable.readableEnded) this.#readable.destroy(error)
    if (this.#writable !== undefined && !this.#writable.writableFinished) this.#writable.destroy(error)
  }

  /** The peer does not want our output: what is written from now on succeeds and goes nowhere. */
  discardOutput(): void {
    this.#dropOutput()
    this.taken()
    this.ended()
  }

  // --- for the session: output

  get outputBytes(): number {
    return this.#outboundBytes
  }

  /** The writer ended and everything was taken: the end itself is what remains to be sent. */
  get outputEnding(): boolean {
    return this.#outboundBytes === 0 && this.#finish !== undefined
  }

  /** At most `maxBytes` of output, in order. */
  take(maxBytes: number): Buffer[] {
    const taken: Buffer[] = []
    let left = Math.min(maxBytes, this.#outboundBytes)
    this.#outboundBytes -= left
    while (left > 0) {
      const piece = this.#outbound[0]
      if (piece === undefined) break
      if (piece.length <= left) this.#outbound.shift()
      else this.#outbound[0] = piece.subarray(left)
      taken.push(piece.length <= left ? piece : piece.subarray(0, left))
      left -= Math.min(left, piece.length)
    }
    return taken
  }

  /** To be called after `take`: lets the writer go on when everything was taken. */
  taken(): void {
    if (this.#outboundBytes > 0) return
    const written = this.#written
    this.#written = undefined
    written?.()
  }

  /** The end of the output was sent. */
  ended(): void {
    const finish = this.#finish
    this.#finish = undefined
    finish?.()
  }

  #dropOutput(): void {
    this.#discardOutput = true
    this.#outbound = []
    this.#outboundBytes = 0
  }

  /** For a writer that is being destroyed: calling it back would tell it that all is well. */
  #forgetOutput(): void {
    this.#dropOutput()
    this.#written = undefined
    this.#finish = undefined
  }

  #makeReadable(): Readable {
    const readable = new Readable({
      highWaterMark: HIGH_WATER_BYTES,
      read: () => this.#feed(readable),
      destroy: (error, done) => {
        if (this.#failure === undefined && !readable.readableEnded) {
          this.discardInput()
          this.#owner.abandoned(this)
        }
        done(error)
      },
    })
    // A stream nobody listens to must not end the process; consumers see the error by their own listeners.
    readable.on('error', ignore)
    if (this.#failure !== undefined) readable.destroy(this.#failure)
    return readable
  }

  #feed(readable: Readable): void {
    this.#readerWaits = true
    while (this.#readerWaits) {
      const piece = this.#inbound.shift()
      if (piece === undefined) break
      this.#readerWaits = readable.push(piece)
      this.#owner.consumed(this, piece.length)
    }
    if (this.#inboundEnded && this.#inbound.length === 0) readable.push(null)
  }

  #makeWritable(): Writable {
    const send = (pieces: Buffer[], done: () => void): void => {
      if (this.#discardOutput) {
        done()
        return
      }
      for (const piece of pieces) this.#outboundBytes += piece.length
      this.#outbound = this.#outbound.length === 0 ? pieces : [...this.#outbound, ...pieces]
      this.#written = done
      this.#owner.ready(this)
    }
    const writable = new Writable({
      highWaterMark: HIGH_WATER_BYTES,
      write: (chunk: Buffer, _encoding, done) => send([chunk], done),
      writev: (chunks, done) =>
        send(
          chunks.map(({ chunk }) => chunk as Buffer), // decodeStrings is on: always a Buffer
          done,
        ),
      final: (done) => {
        if (this.#discardOutput) {
          done()
          return
        }
        this.#finish = done
        this.#owner.ready(this)
      },
      destroy: (error, done) => {
        if (this.#failure === undefined && !writable.writableFinished) {
          this.#forgetOutput()
          this.#owner.abandoned(this)
        }
        done(error)
      },
    })
    writable.on('error', ignore)
    if (this.#failure !== undefined) writable.destroy(this.#failure)
    return writable
  }
}

const ignore = (): void => undefined

export const sessionGone = (reason: string): CodedError => new CodedError('canceled', `stream client is gone: ${reason}`)
