// The frame layer of HTTP/2: RFC 9113 sections 4.1 and 6.
import { CodedError } from '@coracle/base/errors'

export const FrameType = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const

export const Setting = { headerTableSize: 1, enablePush: 2, initialWindowSize: 4, maxFrameSize: 5 } as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const HEADER_BYTES = 9

export type Frame = { readonly type: number; readonly flags: number; readonly streamId: number; readonly payload: Buffer }

export function encodeFrame(
  type: number,
  flags: number,
  { streamId, payload }: { streamId: number; payload: Uint8Array },
): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length)
  frame.writeUIntBE(payload.length, 0, 3)
  frame[3] = type
  frame[4] = flags
  frame.writeUInt32BE(streamId, 5)
  frame.set(payload, HEADER_BYTES)
  return frame
}

export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6)
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, index * 6)
    payload.writeUInt32BE(value, index * 6 + 2)
  }
  return encodeFrame(FrameType.settings, 0, { streamId: 0, payload })
}

/** A frame whose payload is one 32-bit number: WINDOW_UPDATE and RST_STREAM. */
export function encodeNumber(type: number, streamId: number, value: number): Buffer {
  const payload = Buffer.allocUnsafe(4)
  payload.writeUInt32BE(value)
  return encodeFrame(type, 0, { streamId, payload })
}

/** Cuts the bytes of a connection into frames. */
export class FrameReader {
  readonly #maxFrameBytes: number
  #pending: Buffer[] = []
  #pendingBytes = 0
  #neededBytes = HEADER_BYTES

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes
  }

  /** @throws CodedError `unavailable` for a frame longer than we allowed: then it is no HTTP/2 that comes. */
  *push(chunk: Buffer): Generator<Frame> {
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes < this.#neededBytes) return
    let bytes = this.#pending.length === 1 ? chunk : Buffer.concat(this.#pending)
    for (;;) {
      this.#neededBytes = this.#frameBytes(bytes)
      if (bytes.length < this.#neededBytes) break
      yield {
        type: bytes[3] ?? 0,
        flags: bytes[4] ?? 0,
        streamId: bytes.readUInt32BE(5) & 0x7fffffff,
        payload: bytes.subarray(HEADER_BYTES, this.#neededBytes),
      }
      bytes = bytes.subarray(this.#neededBytes)
    }
    this.#pending = bytes.length > 0 ? [bytes] : []
    this.#pendingBytes = bytes.length
  }

  #frameBytes(bytes: Buffer): number {
    if (bytes.length < HEADER_BYTES) return HEADER_BYTES
    const payloadBytes = bytes.readUIntBE(0, 3)
    if (payloadBytes > this.#maxFrameBytes)
      throw new CodedError(
        'unavailable',
        `a frame of ${payloadBytes} bytes came, at most ${this.#maxFrameBytes} were allowed: not a gRPC server?`,
      )
    return HEADER_BYTES + payloadBytes
  }
}

/** The payload of DATA or HEADERS without padding and priority. */
export function contentOf({ type, flags, payload }: Frame): Buffer {
  const padded = (flags & Flag.padded) !== 0
  const paddingBytes = padded ? (payload[0] ?? 0) : 0
  const start = (padded ? 1 : 0) + (type === FrameType.headers && (flags & Flag.priority) !== 0 ? 5 : 0)
  return payload.subarray(start, Math.max(start, payload.length - paddingBytes))
}
