// The client's side of one HTTP/2 connection on a unix socket: as much of RFC 9113 as gRPC calls need. node:http2 would do, but
// loading it brings TLS and all of its cryptography along, a fifth of the time in which a command line has to start.
import net from 'node:net'
import { CodedError } from '@coracle/base/errors'
import {
  contentOf,
  encodeFrame,
  encodeNumber,
  encodeSettings,
  Flag,
  type Frame,
  FrameReader,
  FrameType,
  PREFACE,
  Setting,
} from './frames.ts'
import { encodeHeaders, type Header, HeaderDecoder } from './hpack.ts'
import { SendWindows } from './send-windows.ts'
import { ClientStream } from './stream.ts'

/** What a server may send before we have read it, for each stream and for all. */
const WINDOW_BYTES = 8 << 20
const NO_ERROR = 0
const DEFAULT_WINDOW_BYTES = 65_535
const MAX_FRAME_BYTES = 256 << 10
/** Replies have a handful of headers; a block beyond this is no gRPC. */
const MAX_HEADER_BLOCK_BYTES = 1 << 20

export class Http2Connection {
  readonly #socket: net.Socket
  readonly #streams = new Map<number, ClientStream>()
  readonly #reader = new FrameReader(MAX_FRAME_BYTES)
  readonly #decoder = new HeaderDecoder()
  readonly #sender: SendWindows
  #nextStreamId = 1
  #unacknowledgedBytes = 0
  #headerBlock: { readonly streamId: number; readonly endStream: boolean; readonly parts: Buffer[] } | undefined
  #usable = true

  constructor(socketPath: string) {
    const socket = net.connect(socketPath)
    this.#socket = socket
    this.#sender = new SendWindows((frame) => this.#write(frame))
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (err) => this.#end(err))
    socket.on('close', () => this.#end(new CodedError('unavailable', `${socketPath} closed the connection`)))
    socket.write(
      Buffer.concat([
        PREFACE,
        encodeSettings([
          [Setting.enablePush, 0],
          [Setting.initialWindowSize, WINDOW_BYTES],
          [Setting.maxFrameSize, MAX_FRAME_BYTES],
        ]),
        encodeNumber(FrameType.windowUpdate, 0, WINDOW_BYTES - DEFAULT_WINDOW_BYTES),
      ]),
    )
  }

  /** False once the server wants no new calls here, or the connection is gone. */
  get usable(): boolean {
    return this.#usable
  }

  /** Sends a request with its body at once. */
  request(headers: readonly Header[], body: Uint8Array): ClientStream {
    const id = this.#nextStreamId
    this.#nextStreamId += 2
    if (this.#nextStreamId > 0x7ffffff0) this.#usable = false
    const stream = new ClientStream({
      consumed: (bytes) => this.#write(encodeNumber(FrameType.windowUpdate, id, bytes)),
      reset: (code) => {
        this.#forget(id)
        this.#write(encodeNumber(FrameType.resetStream, id, code))
      },
    })
    if (this.#streams.size === 0) this.#socket.ref()
    this.#streams.set(id, stream)
    this.#socket.cork()
    this.#write(encodeFrame(FrameType.headers, Flag.endHeaders, { streamId: id, payload: encodeHeaders(headers) }))
    this.#sender.send(id, body)
    this.#socket.uncork()
    return stream
  }

  /** Drops the connection; calls in flight fail. */
  close(): Promise<void> {
    const closed = Promise.withResolvers<void>()
    if (this.#socket.closed) closed.resolve()
    this.#socket.once('close', () => closed.resolve())
    this.#socket.ref()
    this.#socket.destroy()
    return closed.promise
  }

  #write(frame: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(frame)
  }

  #forget(id: number): void {
    this.#sender.forget(id)
    if (!this.#streams.delete(id) || this.#streams.size > 0) return
    if (this.#usable) this.#socket.unref()
    else this.#socket.end()
  }

  #end(err: Error): void {
    this.#usable = false
    for (const [id, stream] of this.#streams) {
      this.#forget(id)
      stream.fail(err)
    }
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) this.#handle(frame)
    } catch (err) {
      this.#end(err instanceof Error ? err : new Error(String(err)))
    }
  }

  #handle(frame: Frame): void {
    const { type, flags, streamId, payload } = frame
    if (this.#headerBlock && type !== FrameType.continuation)
      throw new CodedError('unavailable', 'the server interrupted its headers, which HTTP/2 forbids')
    if (type === FrameType.data) this.#handleData(frame)
    else if (type === FrameType.headers) {
      this.#headerBlock = { streamId, endStream: (flags & Flag.endStream) !== 0, parts: [] }
      this.#handleHeaderPart(contentOf(frame), flags)
    } else if (type === FrameType.continuation) this.#handleHeaderPart(payload, flags)
    else if (type === FrameType.settings) this.#handleSettings(payload, flags)
    else if (type === FrameType.windowUpdate) this.#sender.grant(streamId, payload.readUInt32BE(0) & 0x7fffffff)
    else if (type === FrameType.ping && (flags & Flag.ack) === 0)
      this.#write(encodeFrame(FrameType.ping, Flag.ack, { streamId: 0, payload }))
    else if (type === FrameType.resetStream) this.#handleReset(streamId, payload.readUInt32BE(0))
    else if (type === FrameType.goAway) this.#handleGoAway(payload.readUInt32BE(0) & 0x7fffffff)
    // Frames of other types are to be ignored (RFC 9113 section 4.1).
  }

  #handleData(frame: Frame): void {
    // The connection's window is given back at once, also for streams that nobody reads any more; a stream's by its reader.
    this.#unacknowledgedBytes += frame.payload.length
    if (this.#unacknowledgedBytes > WINDOW_BYTES / 4) {
      this.#write(encodeNumber(FrameType.windowUpdate, 0, this.#unacknowledgedBytes))
      this.#unacknowledgedBytes = 0
    }
    const stream = this.#streams.get(frame.streamId)
    if (!stream) return
    stream.receive(contentOf(frame), frame.payload.length)
    if ((frame.flags & Flag.endStream) !== 0) this.#finish(frame.streamId, stream)
  }

  #handleHeaderPart(part: Buffer, flags: number): void {
    const block = this.#headerBlock
    if (!block) throw new CodedError('unavailable', 'the server continued headers that it had not begun')
    block.parts.push(part)
    if (block.parts.reduce((bytes, { length }) => bytes + length, 0) > MAX_HEADER_BLOCK_BYTES)
      throw new CodedError('unavailable', `the reply has headers of more than ${MAX_HEADER_BLOCK_BYTES} bytes`)
    if ((flags & Flag.endHeaders) === 0) return
    this.#headerBlock = undefined
    // Decoded for streams that are gone as well: the table of the connection depends on it.
    const headers = this.#decoder.decode(Buffer.concat(block.parts))
    const stream = this.#streams.get(block.streamId)
    stream?.receiveHeaders(headers)
    if (stream && block.endStream) this.#finish(block.streamId, stream)
  }

  #finish(id: number, stream: ClientStream): void {
    // An answer before the end of the question, such as "too large": the server need not wait for the rest.
    if (!this.#sender.isDone(id)) this.#write(encodeNumber(FrameType.resetStream, id, NO_ERROR))
    this.#forget(id)
    stream.finish()
  }

  #handleSettings(payload: Buffer, flags: number): void {
    if ((flags & Flag.ack) !== 0) return
    for (let offset = 0; offset + 6 <= payload.length; offset += 6) {
      const value = payload.readUInt32BE(offset + 2)
      const id = payload.readUInt16BE(offset)
      if (id === Setting.initialWindowSize) this.#sender.setInitialWindow(value)
      else if (id === Setting.maxFrameSize) this.#sender.setMaxFrame(value)
    }
    this.#write(encodeFrame(FrameType.settings, Flag.ack, { streamId: 0, payload: Buffer.alloc(0) }))
  }

  #handleReset(id: number, code: number): void {
    const stream = this.#streams.get(id)
    this.#forget(id)
    stream?.fail(new CodedError('unavailable', `the server reset the call (HTTP/2 error ${code})`))
  }

  /** Calls above `lastStreamId` were not begun; the others are still answered. */
  #handleGoAway(lastStreamId: number): void {
    this.#usable = false
    for (const [id, stream] of this.#streams) {
      if (id <= lastStreamId) continue
      this.#forget(id)
      stream.fail(new CodedError('unavailable', 'the server is shutting down'))
    }
    if (this.#streams.size === 0) this.#socket.end()
  }
}
