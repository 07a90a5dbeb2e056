// Kubernetes' channels in WebSocket messages: the first byte says which channel, the rest is its data.
import { invalid } from '@coracle/base/errors'
import { Channel, type ChannelOwner, charge, sessionGone } from '../channel.ts'
import { Outbox, TURN_BYTES } from '../outbox.ts'
import type { WebSocketConnection } from './connection.ts'

export interface ChannelProtocol {
  /** Base64 in text messages; the channel is an ASCII digit there. */
  readonly base64: boolean
  /** v5: a message on channel 255 half-closes the channel that its one byte names. */
  readonly halfClose: boolean
}

const CLOSE_CHANNEL = 255
const ASCII_ZERO = 48
/** Base64 messages are gathered before they are decoded. */
const MAX_GATHERED_BYTES = 1024 * 1024

export class ChannelSession {
  readonly #connection: WebSocketConnection
  readonly #protocol: ChannelProtocol
  readonly #channels = new Map<number, Channel>()
  /** Bytes at the beginning of a channel that are no data. */
  readonly #skip = new Map<number, number>()
  readonly #outbox: Outbox
  readonly #owner: ChannelOwner
  /** Channel of the message being received. */
  #current: number | undefined
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  #closed = false

  constructor(connection: WebSocketConnection, protocol: ChannelProtocol) {
    this.#connection = connection
    this.#protocol = protocol
    this.#outbox = new Outbox(connection, (channel) => this.#send(channel))
    this.#owner = {
      ready: (channel) => this.#outbox.add(channel),
      consumed: (_channel, bytes) => connection.release(bytes),
      abandoned: () => undefined,
    }
  }

  /** Declares a channel, of which the first `skipBytes` received are dropped. Messages for other channels are dropped whole. */
  channel(key: number, skipBytes = 0): Channel {
    const existing = this.#channels.get(key)
    if (existing !== undefined) return existing
    const channel = new Channel(key, this.#owner)
    this.#channels.set(key, channel)
    this.#skip.set(key, skipBytes)
    return channel
  }

  /**
   * Begins to read. At a client, a close frame ends what it receives in order: the server has said everything. At a server it means
   * that the client is gone.
   */
  start(closed: (reason: string) => void): void {
    this.#connection.start({
      data: (piece, first, last) => (this.#protocol.base64 ? this.#onText(piece, first, last) : this.#onBinary(piece, first)),
      drain: () => this.#outbox.flush(),
      closed: (reason, clean) => {
        this.#closed = true
        this.#outbox.clear()
        for (const channel of this.#channels.values()) {
          if (clean && this.#connection.isClient) {
            channel.deliverEnd()
            channel.discardOutput()
          } else channel.fail(sessionGone(reason))
        }
        closed(reason)
      },
    })
  }

  /** A message without data. */
  sendEmpty(key: number): void {
    this.#sendPieces(key, [])
  }

  #onBinary(piece: Buffer, first: boolean): void {
    if (first) this.#current = piece[0]
    const data = first ? piece.subarray(1) : piece
    if (this.#current === CLOSE_CHANNEL && this.#protocol.halfClose) {
      const key = data[0]
      if (key !== undefined) this.#channels.get(key)?.deliverEnd()
    } else if (this.#current !== undefined) this.#deliver(this.#current, data)
  }

  #onText(piece: Buffer, first: boolean, last: boolean): void {
    if (first) this.#current = piece.length > 0 ? piece.readUInt8(0) - ASCII_ZERO : undefined
    this.#gathered.push(Buffer.from(first ? piece.subarray(1) : piece))
    this.#gatheredBytes += charge(piece.length)
    if (this.#gatheredBytes > MAX_GATHERED_BYTES) throw invalid(`base64 message has over ${MAX_GATHERED_BYTES} bytes`)
    if (!last) return
    const text = Buffer.concat(this.#gathered).toString('latin1')
    this.#gathered = []
    this.#gatheredBytes = 0
    if (this.#current !== undefined) this.#deliver(this.#current, Buffer.from(text, 'base64'))
  }

  #deliver(key: number, received: Buffer): void {
    const skip = this.#skip.get(key) ?? 0
    const data = skip === 0 ? received : received.subarray(skip)
    if (skip > 0) this.#skip.set(key, skip - Math.min(skip, received.length))
    const channel = this.#channels.get(key)
    if (channel === undefined || data.length === 0) return
    this.#connection.hold(data.length)
    channel.deliver(data)
  }

  #send(channel: Channel): boolean {
    if (this.#closed) {
      channel.discardOutput()
      return false
    }
    if (channel.outputBytes > 0) {
      this.#sendPieces(channel.key, channel.take(TURN_BYTES))
      channel.taken()
    }
    if (channel.outputEnding) {
      // Only a client has a half to close, its stdin; for the others the end shows with the connection's.
      if (this.#protocol.halfClose && channel.key === 0) {
        this.#connection.send('binary', [Buffer.from([CLOSE_CHANNEL, channel.key])])
      }
      channel.ended()
    }
    return channel.outputBytes > 0
  }

  #sendPieces(key: number, pieces: readonly Buffer[]): void {
    if (!this.#protocol.base64) this.#connection.send('binary', [Buffer.from([key]), ...pieces])
    else {
      const text = String.fromCharCode(ASCII_ZERO + key) + Buffer.concat(pieces).toString('base64')
      this.#connection.send('text', [Buffer.from(text, 'latin1')])
    }
  }
}
