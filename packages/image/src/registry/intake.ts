// What arrives on a socket, read into a few large buffers that are used again and again (`onread` of net.connect and tls.connect).
// As streams a socket and a response make a buffer for every 16 to 64 KiB, copy it once more, and throw both away.
import type { OnReadOpts, Socket } from 'node:net'

const bufferBytes = 256 * 1024
/** Less room than one read of the kernel has is not worth a read. */
const worthBytes = 64 * 1024
/** What waits unread before the socket is paused. */
const maxWaitingBytes = 2 * bufferBytes

interface Large {
  readonly bytes: Buffer
  /** Parts of it that wait, or are looked at. */
  held: number
}

interface Part {
  readonly of: Large
  readonly bytes: Buffer
}

export class Intake {
  /** For the socket. */
  readonly onread: OnReadOpts = { buffer: () => this.#room(), callback: (bytes) => this.#arrived(bytes) }
  #socket: Socket | undefined
  #onArrival: () => void = () => {}
  #current: Large = { bytes: Buffer.allocUnsafeSlow(bufferBytes), held: 0 }
  /** Of the current one: what is before `#given` is among the parts, what is before `#end` has arrived. */
  #given = 0
  #end = 0
  readonly #free: Large[] = []
  readonly #parts: Part[] = []
  #looked: Part | undefined
  #waitingBytes = 0
  #isTold = false

  /** `onArrival`: something can be taken. Called once a turn of the event loop, however many pieces it brings (TLS: 16 KiB each). */
  attach(socket: Socket, onArrival: () => void): void {
    this.#socket = socket
    this.#onArrival = onArrival
    if (this.#waitingBytes > 0) this.#tell()
  }

  /** What came first, valid until the next call; undefined when nothing waits. */
  take(): Buffer | undefined {
    this.#letGo()
    if (this.#parts.length === 0) this.#cut()
    const part = this.#parts.shift()
    if (part === undefined) return undefined
    this.#looked = part
    this.#waitingBytes -= part.bytes.length
    if (this.#waitingBytes < maxWaitingBytes) this.#socket?.resume()
    return part.bytes
  }

  // Asked for the place of the next bytes, always after the callback for the last ones.
  #room(): Buffer {
    if (this.#current.bytes.length - this.#end < worthBytes) {
      this.#cut()
      const full = this.#current
      this.#current = this.#free.pop() ?? { bytes: Buffer.allocUnsafeSlow(bufferBytes), held: 0 }
      this.#given = this.#end = 0
      if (full.held === 0) this.#free.push(full)
    }
    return this.#current.bytes.subarray(this.#end)
  }

  #arrived(bytes: number): boolean {
    this.#end += bytes
    this.#waitingBytes += bytes
    this.#tell()
    return this.#waitingBytes < maxWaitingBytes
  }

  #cut(): void {
    if (this.#end === this.#given) return
    this.#current.held++
    this.#parts.push({ of: this.#current, bytes: this.#current.bytes.subarray(this.#given, this.#end) })
    this.#given = this.#end
  }

  #letGo(): void {
    const part = this.#looked
    if (part === undefined) return
    this.#looked = undefined
    part.of.held--
    if (part.of.held === 0 && part.of !== this.#current) this.#free.push(part.of)
  }

  #tell(): void {
    if (this.#isTold) return
    this.#isTold = true
    setImmediate(() => {
      this.#isTold = false
      this.#onArrival()
    })
  }
}
