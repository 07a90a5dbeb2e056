// Cuts a WebSocket byte stream (RFC 6455 section 5) into messages. Payload is passed on as it comes in, unmasked in place.
import { invalid } from '@coracle/base/errors'

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Frames are not gathered, so this bounds nobody's memory; it stops nonsense lengths early. */
const MAX_FRAME_BYTES = 1024 * 1024 * 1024
const MAX_CONTROL_BYTES = 125
const MAX_FRAGMENTS = 1024

export interface MessageHandler {
  /** A piece of a data message. `first` and `last` tell its place; an empty message gives one empty piece. */
  data(piece: Buffer, first: boolean, last: boolean): void
  control(kind: number, payload: Buffer): void
}

export class WebSocketParser {
  readonly #handler: MessageHandler
  /** Frames of a client must be masked, those of a server must not (section 5.1). */
  readonly #masked: boolean
  /** At most 2 bytes, 8 of length, 4 of mask. */
  readonly #header = Buffer.alloc(14)
  readonly #mask = Buffer.alloc(4)
  #headerFilled = 0
  #headerNeeded = 2
  #inFrame = false
  #left = 0
  #offset = 0
  #controlPayload: Buffer | undefined
  #opcode = 0
  #fin = false
  #inMessage = false
  #messageStarted = false
  #fragments = 0

  constructor(from: 'client' | 'server', handler: MessageHandler) {
    this.#handler = handler
    this.#masked = from === 'client'
  }

  /** Changes `chunk`. Throws `invalid_argument` where the bytes break the protocol; the parser must not be used after that. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) at = this.#inFrame ? this.#takePayload(chunk, at) : this.#takeHeader(chunk, at)
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.#header, this.#headerFilled, at, at + this.#headerNeeded - this.#headerFilled)
    this.#headerFilled += copied
    if (this.#headerFilled === this.#headerNeeded) {
      if (this.#headerNeeded === 2) this.#headerNeeded = this.#checkStart()
      if (this.#headerFilled === this.#headerNeeded) this.#startFrame()
    }
    return at + copied
  }

  /** The length of the whole header, from its first two bytes. */
  #checkStart(): number {
    const first = this.#header.readUInt8(0)
    const second = this.#header.readUInt8(1)
    this.#fin = (first & 0x80) !== 0
    this.#opcode = first & 0x0f
    if ((first & 0x70) !== 0) throw invalid('websocket frame has reserved bits set, expected none without extensions')
    if (((second & 0x80) !== 0) !== this.#masked) throw invalid(`websocket frame must ${this.#masked ? '' : 'not '}be masked`)
    const short = second & 0x7f
    this.#checkOpcode(short)
    return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (this.#masked ? 4 : 0)
  }

  #checkOpcode(short: number): void {
    switch (this.#opcode) {
      case opcode.close:
      case opcode.ping:
      case opcode.pong:
        if (!this.#fin || short > MAX_CONTROL_BYTES) throw invalid('websocket control frame must be whole and at most 125 bytes')
        return
      case opcode.text:
      case opcode.binary:
        if (this.#inMessage) throw invalid('websocket message starts inside another one')
        this.#inMessage = true
        this.#messageStarted = false
        this.#fragments = 0
        return
      case opcode.continuation:
        if (!this.#inMessage) throw invalid('websocket continuation without a message')
        if (++this.#fragments > MAX_FRAGMENTS) throw invalid(`websocket message has over ${MAX_FRAGMENTS} fragments`)
        return
      default:
        throw invalid(`websocket opcode is ${this.#opcode}, expected one of RFC 6455`)
    }
  }

  #startFrame(): void {
    const short = this.#header.readUInt8(1) & 0x7f
    const length = short === 126 ? this.#header.readUInt16BE(2) : short === 127 ? Number(this.#header.readBigUInt64BE(2)) : short
    if (length > MAX_FRAME_BYTES) throw invalid(`websocket frame has ${length} bytes, expected at most ${MAX_FRAME_BYTES}`)
    this.#headerFilled = 0
    this.#offset = 0
    this.#left = length
    this.#inFrame = true
    if (this.#masked) this.#header.copy(this.#mask, 0, this.#headerNeeded - 4)
    this.#controlPayload = this.#opcode >= 8 ? Buffer.alloc(length) : undefined
    if (length === 0) this.#endOfPiece(empty)
  }

  #takePayload(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left)
    const piece = chunk.subarray(at, end)
    if (this.#masked) applyMask(piece, this.#mask, this.#offset)
    this.#left -= piece.length
    this.#endOfPiece(piece)
    this.#offset += piece.length
    return end
  }

  #endOfPiece(piece: Buffer): void {
    const control = this.#controlPayload
    const frameEnds = this.#left === 0
    if (frameEnds) {
      this.#inFrame = false
    }
    if (control !== undefined) {
      piece.copy(control, this.#offset)
      if (frameEnds) this.#afterFrame()
      if (frameEnds) this.#handler.control(this.#opcode, control)
      return
    }
    const last = frameEnds && this.#fin
    const first = !this.#messageStarted
    if (last) this.#inMessage = false
    if (frameEnds) this.#afterFrame()
    if (piece.length > 0 || last) {
      this.#messageStarted = true
      this.#handler.data(piece, first, last)
    }
  }

  #afterFrame(): void {
    this.#headerNeeded = 2
    this.#headerFilled = 0
  }
}

const empty = Buffer.alloc(0)

/** XORs `data` in place with the four bytes of `mask`; `offset` is where `data` lies in its frame. */
export function applyMask(data: Buffer, maskBytes: Buffer, offset: number): void {
  const mask = (index: number): number => maskBytes[(offset + index) & 3] as number // four bytes
  // Up to the next 4-byte boundary of memory one by one, then words: the loop is what limits upload speed.
  const head = Math.min(data.length, (4 - (data.byteOffset & 3)) & 3)
  for (let i = 0; i < head; i++) data[i] = (data[i] as number) ^ mask(i)
  const wordCount = (data.length - head) >>> 2
  if (wordCount > 0) {
    for (let i = 0; i < 4; i++) wordMask[i] = mask(head + i)
    const word = wordView[0] as number // four bytes make one word
    const words = new Uint32Array(data.buffer, data.byteOffset + head, wordCount)
    for (let i = 0; i < wordCount; i++) words[i] = (words[i] as number) ^ word
  }
  for (let i = head + wordCount * 4; i < data.length; i++) data[i] = (data[i] as number) ^ mask(i)
}

const wordMask = new Uint8Array(4)
const wordView = new Uint32Array(wordMask.buffer)
