// Cuts a SPDY/3.1 byte stream into frames. Payload of DATA frames is passed on as it comes in, never gathered or copied.
import { invalid } from '@coracle/base/errors'
import { FLAG_FIN } from './frames.ts'

/** A SYN_STREAM of Kubernetes has some 100 bytes. */
const MAX_CONTROL_BYTES = 64 * 1024
const HEADER_BYTES = 8

export interface FrameHandler {
  control(type: number, flags: number, body: Buffer): void
  /** Once for each piece of a DATA frame; a frame without payload gives one empty piece. `fin` comes with the last piece. */
  data(streamId: number, piece: Buffer, fin: boolean): void
}

export class SpdyParser {
  readonly #handler: FrameHandler
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerFilled = 0
  /** Body of the control frame being gathered. */
  #body: Buffer | undefined
  #bodyFilled = 0
  #dataLeft = 0
  #streamId = 0
  #fin = false

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** Throws `invalid_argument` where the bytes break the protocol; the parser must not be used after that. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#dataLeft > 0) at = this.#takeData(chunk, at)
      else if (this.#body !== undefined) at = this.#takeBody(chunk, at, this.#body)
      else at = this.#takeHeader(chunk, at)
    }
  }

  #takeData(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#dataLeft)
    this.#dataLeft -= end - at
    this.#handler.data(this.#streamId, chunk.subarray(at, end), this.#fin && this.#dataLeft === 0)
    return end
  }

  #takeBody(chunk: Buffer, at: number, body: Buffer): number {
    const copied = chunk.copy(body, this.#bodyFilled, at)
    this.#bodyFilled += copied
    if (this.#bodyFilled === body.length) {
      this.#body = undefined
      this.#handler.control(this.#header.readUInt16BE(2), this.#header.readUInt8(4), body)
    }
    return at + copied
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.#header, this.#headerFilled, at, at + HEADER_BYTES - this.#headerFilled)
    this.#headerFilled += copied
    if (this.#headerFilled === HEADER_BYTES) {
      this.#headerFilled = 0
      const lengthBytes = this.#header.readUIntBE(5, 3)
      if ((this.#header.readUInt8(0) & 0x80) === 0) this.#startData(lengthBytes)
      else this.#startControl(lengthBytes)
    }
    return at + copied
  }

  #startData(lengthBytes: number): void {
    this.#streamId = this.#header.readUInt32BE(0)
    this.#fin = (this.#header.readUInt8(4) & FLAG_FIN) !== 0
    if (this.#streamId === 0) throw invalid('spdy data frame has stream id 0')
    this.#dataLeft = lengthBytes
    if (lengthBytes === 0) this.#handler.data(this.#streamId, empty, this.#fin)
  }

  #startControl(lengthBytes: number): void {
    const version = this.#header.readUInt16BE(0) & 0x7fff
    if (version !== 3) throw invalid(`spdy frame has version ${version}, expected 3`)
    if (lengthBytes > MAX_CONTROL_BYTES) {
      throw invalid(`spdy control frame has ${lengthBytes} bytes, expected at most ${MAX_CONTROL_BYTES}`)
    }
    if (lengthBytes === 0) {
      this.#handler.control(this.#header.readUInt16BE(2), this.#header.readUInt8(4), empty)
      return
    }
    this.#body = Buffer.allocUnsafe(lengthBytes)
    this.#bodyFilled = 0
  }
}

const empty = Buffer.alloc(0)
