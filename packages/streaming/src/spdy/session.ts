// One SPDY/3.1 connection, either role: streams, flow control both ways, hard limits.
import { codeOf, explain, invalid } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { Channel, type ChannelOwner, sessionGone } from '../channel.ts'
import { Intake } from '../intake.ts'
import { Outbox, TURN_BYTES } from '../outbox.ts'
import type { Wire } from '../wire.ts'
import { Flow } from './flow.ts'
import * as frames from './frames.ts'
import { HeaderDeflater, HeaderInflater, type Headers } from './header-block.ts'
import { SpdyParser } from './parser.ts'
import { SpdyStream } from './stream.ts'

export interface SpdyOptions {
  readonly role: 'client' | 'server'
  /** Peer-opened streams at one time; more are refused. */
  readonly maxStreams: number
  /** Receive window of each stream. */
  readonly streamWindowBytes: number
  /** Received but unread in the whole session; also its receive window. */
  readonly intakeBytes: number
}

export interface SpdyHandler {
  /** The peer opened a stream. False refuses it. */
  accept(stream: SpdyStream): boolean
  /** Once; every stream has failed before. */
  closed(reason: string): void
}

const log = logger('streaming')

/** Replies that the peer does not read: over this, it is read no further either. */
const REPLY_BACKLOG_BYTES = 2 * 1024 * 1024
/** After GOAWAY the peer may close first; kubectl's library drops frames it has queued when it sees the end of the connection. */
const PEER_CLOSES_FIRST_MS = 1_000
const LINGER_MS = 5_000

export class SpdySession {
  readonly #wire: Wire
  readonly #options: SpdyOptions
  readonly #handler: SpdyHandler
  readonly #client: boolean
  readonly #parser = new SpdyParser({
    control: (type, flags, body) => this.#onControl(type, flags, body),
    data: (id, piece, fin) => this.#onData(id, piece, fin),
  })
  readonly #inflater = new HeaderInflater()
  readonly #deflater = new HeaderDeflater()
  readonly #streams = new Map<number, SpdyStream>()
  readonly #outbox: Outbox
  readonly #intake: Intake
  readonly #owner: ChannelOwner
  readonly #flow: Flow
  readonly #windowBlocked = new Set<Channel>()
  #peerStreams = 0
  #lastPeerStreamId = 0
  #nextStreamId: number
  #pingId: number
  #closed = false
  #finishTimer: NodeJS.Timeout | undefined

  constructor(wire: Wire, options: SpdyOptions, handler: SpdyHandler) {
    this.#wire = wire
    this.#options = options
    this.#handler = handler
    this.#client = options.role === 'client'
    this.#nextStreamId = this.#pingId = this.#client ? 1 : 2
    this.#flow = new Flow(options, (id, delta) => this.#wire.write([frames.windowUpdate(id, delta)]))
    this.#outbox = new Outbox(wire, (channel) => this.#send(channel))
    this.#intake = new Intake(wire, options.intakeBytes, () => this.#sendPing())
    this.#owner = {
      ready: (channel) => this.#outbox.add(channel),
      consumed: (channel, bytes) => this.#onConsumed(channel, bytes),
      abandoned: (channel) => this.#onAbandoned(channel),
    }
  }

  /** Begins to read. Separate from the constructor so that the handler can know the session. */
  start(): void {
    const grown = this.#options.intakeBytes - frames.DEFAULT_WINDOW_BYTES
    this.#wire.write([frames.settings(this.#options.streamWindowBytes), ...(grown > 0 ? [frames.windowUpdate(0, grown)] : [])])
    this.#wire.start({
      data: (chunk) => this.#onChunk(chunk),
      drain: () => {
        this.#outbox.flush()
        this.#checkReplies()
      },
      closed: (reason) => this.#close(reason),
    })
  }

  get streamCount(): number {
    return this.#streams.size
  }

  /** Opens a stream. Throws `canceled` when the session is over. */
  open(headers: Headers): SpdyStream {
    if (this.#closed) throw sessionGone('session is closed')
    const stream = this.#newStream(this.#nextStreamId, headers)
    this.#nextStreamId += 2
    this.#wire.write(frames.synStream(stream.id, this.#deflater.deflate(headers), false))
    return stream
  }

  /** Ends the session in order: what was written is sent, then the peer may close, then we do. */
  finish(): void {
    if (this.#closed || this.#finishTimer !== undefined) return
    this.#wire.write([frames.goAway(this.#lastPeerStreamId, frames.goAwayStatus.ok)])
    this.#finishTimer = setTimeout(() => this.#wire.end(LINGER_MS), PEER_CLOSES_FIRST_MS)
  }

  /** Cuts the connection. */
  destroy(reason: string): void {
    this.#close(reason)
  }

  reset(stream: SpdyStream, status: number): void {
    if (this.#streams.has(stream.id)) this.#wire.write([frames.rstStream(stream.id, status)])
    this.#remove(stream)
  }

  /** Done with a stream whose output was flushed: a peer that still sends on it is told to stop. */
  forget(stream: SpdyStream): void {
    stream.channel.discardInput()
    if (!stream.remoteEnded || !stream.localEnded) this.reset(stream, frames.rstStatus.cancel)
    else this.#remove(stream)
  }

  #newStream(id: number, headers: Headers): SpdyStream {
    const stream = new SpdyStream({ id, headers, channel: new Channel(id, this.#owner), sendWindow: this.#flow.initialWindow })
    this.#streams.set(id, stream)
    return stream
  }

  #isPeers(id: number): boolean {
    return (id % 2 === 1) !== this.#client
  }

  #remove(stream: SpdyStream): void {
    if (!this.#streams.delete(stream.id)) return
    this.#windowBlocked.delete(stream.channel)
    if (this.#isPeers(stream.id)) this.#peerStreams--
  }

  /** `lastWords`: something was written that the peer should still get. */
  #close(reason: string, lastWords = false): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#finishTimer)
    this.#intake.stop()
    this.#outbox.clear()
    if (lastWords) this.#wire.end(LINGER_MS)
    else this.#wire.destroy()
    const error = sessionGone(reason)
    for (const stream of this.#streams.values()) stream.sessionClosed(error)
    this.#streams.clear()
    this.#windowBlocked.clear()
    this.#handler.closed(reason)
  }

  // --- receiving

  #onChunk(chunk: Buffer): void {
    if (this.#closed) return
    try {
      this.#parser.push(chunk)
      this.#checkReplies()
    } catch (err) {
      const violation = codeOf(err) === 'invalid_argument'
      if (!violation) log.error('spdy session failed', { error: explain(err) })
      const { protocolError, internalError } = frames.goAwayStatus
      this.#wire.write([frames.goAway(this.#lastPeerStreamId, violation ? protocolError : internalError)])
      this.#close(explain(err), true)
    }
  }

  #checkReplies(): void {
    if (!this.#closed) this.#intake.block('replies', this.#wire.backlogBytes > REPLY_BACKLOG_BYTES)
  }

  #onData(id: number, piece: Buffer, fin: boolean): void {
    if (this.#closed) return
    const stream = this.#streams.get(id)
    if (stream === undefined || stream.remoteEnded) {
      if (this.#isPeers(id) && id > this.#lastPeerStreamId)
        this.#wire.write([frames.rstStream(id, frames.rstStatus.invalidStream)])
      this.#flow.credit(piece.length, undefined)
      return
    }
    if (piece.length > 0) {
      this.#intake.hold(piece.length)
      stream.channel.deliver(piece)
    }
    if (fin) this.#remoteEnd(stream)
  }

  #remoteEnd(stream: SpdyStream): void {
    if (stream.remoteEnded) return
    stream.remoteEnded = true
    stream.channel.deliverEnd()
    if (stream.localEnded) this.#remove(stream)
  }

  #onControl(type: number, flags: number, body: Buffer): void {
    if (this.#closed) return
    const fin = (flags & frames.FLAG_FIN) !== 0
    const { synStream, synReply, headers, rstStream, settings, windowUpdate, ping } = frames.frameType
    if (type === synStream) this.#onSynStream(body, fin)
    else if (type === synReply || type === headers) this.#onHeaders(type, body, fin)
    else if (type === rstStream) this.#onReset(body)
    else if (type === settings) this.#onSettings(body)
    else if (type === windowUpdate) this.#onWindowUpdate(body)
    else if (type === ping) this.#onPing(body)
    // GOAWAY: the peer opens no more streams and will close the connection itself. Unknown types are ignored (draft 2.2.1).
  }

  #onPing(body: Buffer): void {
    const id = word(body, 0)
    // An id of our own parity answers a probe of ours.
    if (id % 2 !== this.#pingId % 2) this.#wire.write([frames.ping(id)])
  }

  #onSynStream(body: Buffer, fin: boolean): void {
    const id = word(body, 0) & 0x7fffffff
    word(body, 6)
    // Inflated even when refused: the compression state is shared by all frames.
    const headers = this.#inflater.inflate(body.subarray(10))
    if (!this.#isPeers(id) || id <= this.#lastPeerStreamId)
      throw invalid(`spdy stream id ${id} is not above the last one or not the peer's`)
    this.#lastPeerStreamId = id
    if (this.#peerStreams >= this.#options.maxStreams || this.#finishTimer !== undefined) {
      this.#refuse(id)
      return
    }
    const stream = this.#newStream(id, headers)
    this.#peerStreams++
    if (!this.#handler.accept(stream)) {
      this.#remove(stream)
      this.#refuse(id)
      return
    }
    this.#wire.write(frames.synReply(id, this.#deflater.deflate(noHeaders)))
    if (fin) this.#remoteEnd(stream)
  }

  #refuse(id: number): void {
    this.#wire.write([frames.rstStream(id, frames.rstStatus.refusedStream)])
  }

  #onHeaders(type: number, body: Buffer, fin: boolean): void {
    const stream = this.#streams.get(word(body, 0))
    const headers = this.#inflater.inflate(body.subarray(4))
    if (stream === undefined) return
    if (type === frames.frameType.synReply) stream.replied(headers)
    if (fin) this.#remoteEnd(stream)
  }

  #onReset(body: Buffer): void {
    const stream = this.#streams.get(word(body, 0))
    const status = word(body, 4)
    if (stream === undefined) return
    this.#remove(stream)
    stream.peerReset(status)
  }

  // --- flow control

  #onSettings(body: Buffer): void {
    const count = word(body, 0)
    if (count > (body.length - 4) / 8) throw invalid(`spdy settings frame of ${body.length} bytes claims ${count} settings`)
    for (let at = 4; at < 4 + count * 8; at += 8) {
      if ((word(body, at) & 0xffffff) !== frames.SETTING_INITIAL_WINDOW) continue
      this.#flow.setInitialWindow(word(body, at + 4), this.#streams.values())
      this.#unblock()
    }
  }

  #onWindowUpdate(body: Buffer): void {
    const id = word(body, 0) & 0x7fffffff
    const delta = word(body, 4) & 0x7fffffff
    if (id === 0) {
      this.#flow.growSession(delta)
      this.#unblock()
      return
    }
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    if (!this.#flow.growStream(stream, delta)) {
      this.reset(stream, frames.rstStatus.flowControl)
      stream.peerReset(frames.rstStatus.flowControl)
    } else if (this.#windowBlocked.delete(stream.channel)) this.#outbox.add(stream.channel)
  }

  #unblock(): void {
    const waiting = [...this.#windowBlocked]
    this.#windowBlocked.clear()
    for (const channel of waiting) this.#outbox.add(channel)
  }

  #onConsumed(channel: Channel, bytes: number): void {
    if (this.#closed) return
    this.#intake.release(bytes)
    this.#flow.credit(bytes, this.#streams.get(channel.key))
  }

  #onAbandoned(channel: Channel): void {
    const stream = this.#streams.get(channel.key)
    if (stream === undefined || this.#closed || stream.gentle) return
    this.reset(stream, frames.rstStatus.cancel)
    channel.fail(sessionGone('stream was given up'))
  }

  #sendPing(): void {
    this.#wire.write([frames.ping(this.#pingId)])
    this.#pingId = (this.#pingId + 2) % 0x7ffffffe
  }

  // --- sending

  #send(channel: Channel): boolean {
    const stream = this.#streams.get(channel.key)
    if (stream === undefined || stream.localEnded || this.#closed) {
      channel.discardOutput()
      return false
    }
    const room = this.#flow.room(stream)
    const bytes = Math.max(0, Math.min(channel.outputBytes, room, TURN_BYTES))
    if (bytes > 0) {
      this.#wire.write([frames.dataHeader(stream.id, bytes, false), ...channel.take(bytes)])
      this.#flow.sent(stream, bytes)
      channel.taken()
    }
    if (channel.outputEnding) this.#localEnd(stream)
    if (channel.outputBytes === 0) return false
    if (bytes < room) return true
    this.#windowBlocked.add(channel)
    return false
  }

  #localEnd(stream: SpdyStream): void {
    stream.localEnded = true
    this.#wire.write([frames.dataHeader(stream.id, 0, true)])
    stream.channel.ended()
    if (stream.remoteEnded) this.#remove(stream)
  }
}

const noHeaders: Headers = new Map()

/** Throws `invalid_argument` when the frame is too short. */
function word(body: Buffer, at: number): number {
  if (at + 4 > body.length) throw invalid(`spdy control frame has ${body.length} bytes, expected at least ${at + 4}`)
  return body.readUInt32BE(at)
}
