// Flow control of what we send: RFC 9113 section 5.2.
import { encodeFrame, Flag, FrameType } from './frames.ts'

const DEFAULT_WINDOW_BYTES = 65_535
const DEFAULT_MAX_FRAME_BYTES = 16_384

type Sending = { windowBytes: number; rest: Uint8Array; done: boolean }

/** Sends bodies as far as the peer's windows allow, and the rest as they open. */
export class SendWindows {
  readonly #write: (frame: Uint8Array) => void
  readonly #sendings = new Map<number, Sending>()
  #connectionBytes = DEFAULT_WINDOW_BYTES
  #initialBytes = DEFAULT_WINDOW_BYTES
  #maxFrameBytes = DEFAULT_MAX_FRAME_BYTES

  constructor(write: (frame: Uint8Array) => void) {
    this.#write = write
  }

  /** The whole body of a stream; its last frame ends our half of it. */
  send(streamId: number, body: Uint8Array): void {
    const sending = { windowBytes: this.#initialBytes, rest: body, done: false }
    this.#sendings.set(streamId, sending)
    this.#push(streamId, sending)
  }

  isDone(streamId: number): boolean {
    return this.#sendings.get(streamId)?.done ?? true
  }

  forget(streamId: number): void {
    this.#sendings.delete(streamId)
  }

  /** A WINDOW_UPDATE; stream 0 is the connection. */
  grant(streamId: number, bytes: number): void {
    const sending = this.#sendings.get(streamId)
    if (streamId === 0) this.#connectionBytes += bytes
    else if (sending) sending.windowBytes += bytes
    this.#pushAll()
  }

  /** Changes the windows of streams under way by the difference, which may make them negative. */
  setInitialWindow(bytes: number): void {
    for (const sending of this.#sendings.values()) sending.windowBytes += bytes - this.#initialBytes
    this.#initialBytes = bytes
    this.#pushAll()
  }

  setMaxFrame(bytes: number): void {
    this.#maxFrameBytes = bytes
  }

  #pushAll(): void {
    for (const [streamId, sending] of this.#sendings) this.#push(streamId, sending)
  }

  #push(streamId: number, sending: Sending): void {
    while (!sending.done) {
      const bytes = Math.min(sending.rest.length, sending.windowBytes, this.#connectionBytes, this.#maxFrameBytes)
      if (bytes <= 0 && sending.rest.length > 0) return
      const payload = sending.rest.subarray(0, bytes)
      sending.rest = sending.rest.subarray(bytes)
      sending.windowBytes -= bytes
      this.#connectionBytes -= bytes
      sending.done = sending.rest.length === 0
      this.#write(encodeFrame(FrameType.data, sending.done ? Flag.endStream : 0, { streamId, payload }))
    }
  }
}
