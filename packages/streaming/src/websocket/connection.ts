// One WebSocket connection, either role, after its handshake: messages out and in, ping, close.
import { randomFillSync } from 'node:crypto'
import { codeOf, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { Intake } from '../intake.ts'
import type { Wire } from '../wire.ts'
import { applyMask, opcode, WebSocketParser } from './parser.ts'

export interface WebSocketHandler {
  /** See MessageHandler.data. */
  data(piece: Buffer, first: boolean, last: boolean): void
  drain(): void
  /** Once: close frame (then `clean`), end of the connection, or a violation of the protocol. */
  closed(reason: string, clean: boolean): void
}

export const closeCode = { normal: 1000, goingAway: 1001, protocolError: 1002, internal: 1011 } as const

const log = logger('streaming')

const REPLY_BACKLOG_BYTES = 2 * 1024 * 1024
/** After our close frame the peer may answer and close first. */
const LINGER_MS = 5_000

export class WebSocketConnection {
  readonly #wire: Wire
  readonly #client: boolean
  readonly #intakeBytes: number
  #intake: Intake | undefined
  #handler: WebSocketHandler | undefined
  #closeSent = false

  constructor(wire: Wire, role: 'client' | 'server', intakeBytes: number) {
    this.#wire = wire
    this.#client = role === 'client'
    this.#intakeBytes = intakeBytes
  }

  get isClient(): boolean {
    return this.#client
  }

  get backlogBytes(): number {
    return this.#wire.backlogBytes
  }

  start(handler: WebSocketHandler): void {
    this.#handler = handler
    this.#intake = new Intake(this.#wire, this.#intakeBytes, () => this.#sendFrame(opcode.ping, []))
    const parser = new WebSocketParser(this.#client ? 'server' : 'client', {
      data: (piece, first, last) => this.#handler?.data(piece, first, last),
      control: (kind, payload) => this.#onControl(kind, payload),
    })
    this.#wire.start({
      data: (chunk) => {
        if (this.#handler === undefined) return
        try {
          parser.push(chunk)
          this.#checkReplies()
        } catch (err) {
          const violation = codeOf(err) === 'invalid_argument'
          if (!violation) log.error('websocket session failed', { error: explain(err) })
          this.close(violation ? closeCode.protocolError : closeCode.internal)
          this.#closed(explain(err))
          this.#wire.end(LINGER_MS)
        }
      },
      drain: () => {
        this.#handler?.drain()
        this.#checkReplies()
      },
      closed: (reason) => {
        this.#closed(reason)
        this.#wire.destroy()
      },
    })
  }

  /** A whole message in one frame. */
  send(kind: 'text' | 'binary', parts: readonly Buffer[]): void {
    if (!this.#closeSent) this.#sendFrame(kind === 'text' ? opcode.text : opcode.binary, parts)
  }

  /** Received bytes wait for a reader, or no longer. */
  hold(bytes: number): void {
    this.#intake?.hold(bytes)
  }
  release(bytes: number): void {
    if (this.#handler !== undefined) this.#intake?.release(bytes)
  }

  /** Stops and resumes reading on behalf of a tunnelled protocol. */
  blockInput(blocked: boolean): void {
    if (this.#handler !== undefined) this.#intake?.block('tunnel', blocked)
  }

  /** Sends a close frame behind everything sent. The peer then closes the connection, or we do after a while. */
  close(code: number): void {
    if (this.#closeSent) return
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(code)
    this.#sendFrame(opcode.close, [payload])
    this.#closeSent = true
    this.#wire.end(LINGER_MS)
  }

  destroy(): void {
    this.#wire.destroy()
    this.#closed('connection destroyed')
  }

  /** Says goodbye and looks at nothing that still comes in. */
  leave(): void {
    this.close(closeCode.normal)
    this.#closed('closed by this side')
  }

  #closed(reason: string, clean = false): void {
    const handler = this.#handler
    this.#handler = undefined
    this.#intake?.stop()
    handler?.closed(reason, clean)
  }

  #checkReplies(): void {
    if (this.#handler !== undefined) this.#intake?.block('replies', this.#wire.backlogBytes > REPLY_BACKLOG_BYTES)
  }

  #onControl(kind: number, payload: Buffer): void {
    if (kind === opcode.ping && !this.#closeSent) this.#sendFrame(opcode.pong, [payload])
    if (kind !== opcode.close) return
    this.close(closeCode.normal)
    this.#closed('peer closed the websocket', true)
    this.#wire.end(LINGER_MS)
  }

  #sendFrame(kind: number, parts: readonly Buffer[]): void {
    let length = 0
    for (const part of parts) length += part.length
    const header = frameHeader(kind, length, this.#client)
    if (!this.#client) {
      this.#wire.write([header, ...parts])
      return
    }
    // Section 5.3: a client masks with fresh random bytes, in a copy, since the parts are not ours.
    const payload = Buffer.concat(parts, length)
    const mask = header.subarray(header.length - 4)
    randomFillSync(mask)
    applyMask(payload, mask, 0)
    this.#wire.write([header, payload])
  }
}

function frameHeader(kind: number, length: number, masked: boolean): Buffer {
  const extended = length < 126 ? 0 : length < 0x10000 ? 2 : 8
  const header = Buffer.alloc(2 + extended + (masked ? 4 : 0))
  header.writeUInt8(0x80 | kind, 0)
  header.writeUInt8((masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127), 1)
  if (extended === 2) header.writeUInt16BE(length, 2)
  if (extended === 8) header.writeBigUInt64BE(BigInt(length), 2)
  return header
}
