import { closeSync } from 'node:fs'
import { constants as os } from 'node:os'
import { CodedError, failed } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { delay } from '@coracle/base/signals'
import type { SeqpacketConnection } from '../host.ts'
import { callFailed, errno, libc, SystemCallError } from '../libc.ts'
import type { PollThread } from './poll-thread.ts'
import { unixAddress } from './unix-address.ts'

const AF_UNIX = 1
const SOCK_SEQPACKET = 5
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const SHUT_WR = 1
const backlogMs = 5000
/** Kept for a reader that is late; the socket itself is always drained, because its writer also serves the container. */
const maxQueuedBytes = 8 * 1024 * 1024

export async function connectSeqpacket(thread: PollThread, path: string): Promise<SeqpacketConnection> {
  const fd = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) throw callFailed('make a socket')
  try {
    await connect(fd, path)
  } catch (err) {
    closeSync(fd)
    throw err
  }
  return new Connection(thread, fd, path)
}

async function connect(fd: number, path: string): Promise<void> {
  try {
    using address = unixAddress(path)
    const until = performance.now() + backlogMs
    while (libc.connect(fd, address.bytes, address.bytes.length) !== 0) {
      const number = errno()
      // EAGAIN: the listener's queue is full, a connect without blocking does not wait.
      if (number !== os.errno.EAGAIN || performance.now() > until) throw new SystemCallError(number)
      await delay(5)
    }
  } catch (err) {
    if (err instanceof CodedError) throw err
    throw new CodedError('unavailable', `connect to ${quote(path)}`, { cause: err })
  }
}

class Connection implements SeqpacketConnection {
  readonly packets: AsyncIterable<Buffer>
  readonly #thread: PollThread
  readonly #fd: number
  readonly #path: string
  readonly #id: number
  readonly #queue: Buffer[] = []
  #queuedBytes = 0
  #ended = false
  #failure: CodedError | undefined
  #wake: (() => void) | undefined
  #disposed = false
  #sending: Promise<void> = Promise.resolve()

  constructor(thread: PollThread, fd: number, path: string) {
    this.#thread = thread
    this.#fd = fd
    this.#path = path
    this.packets = { [Symbol.asyncIterator]: () => this.#iterate() }
    this.#id = thread.watch(fd, { packets: (packets) => this.#take(packets), end: (number) => this.#finish(number) })
  }

  #take(packets: readonly Uint8Array[]): void {
    if (this.#ended) return
    for (const packet of packets) {
      this.#queue.push(Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength))
      this.#queuedBytes += packet.byteLength
    }
    if (this.#queuedBytes > maxQueuedBytes) {
      this.#queue.length = 0
      this.#failure = new CodedError(
        'resource_exhausted',
        `reader of ${quote(this.#path)} is more than ${maxQueuedBytes} bytes behind`,
      )
      this.#ended = true
    }
    this.#wake?.()
  }

  #finish(number: number): void {
    if (number !== 0 && number !== os.errno.ECONNRESET && !this.#ended) {
      const cause = number > 0 ? new SystemCallError(number) : new Error('polling thread ended')
      this.#failure = failed(`read from ${quote(this.#path)}`, cause)
    }
    this.#ended = true
    this.#wake?.()
  }

  async *#iterate(): AsyncGenerator<Buffer> {
    for (;;) {
      const packet = this.#queue.shift()
      if (packet !== undefined) {
        this.#queuedBytes -= packet.length
        yield packet
      } else if (this.#ended) {
        if (this.#failure !== undefined) throw this.#failure
        return
      } else {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await promise
      }
    }
  }

  send(packet: Uint8Array): Promise<void> {
    // One after the other: a packet that waits must not be overtaken.
    const sent = this.#sending.then(() => this.#sendNow(packet))
    this.#sending = sent.catch(() => {})
    return sent
  }

  async #sendNow(packet: Uint8Array): Promise<void> {
    for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
      if (this.#disposed) throw new CodedError('canceled', `send to ${quote(this.#path)}: connection is closed`)
      if (libc.send(this.#fd, packet, packet.length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return
      const number = errno()
      if (number !== os.errno.EAGAIN) {
        const code = number === os.errno.EPIPE || number === os.errno.ECONNRESET ? 'unavailable' : 'internal'
        throw new CodedError(code, `send to ${quote(this.#path)}`, { cause: new SystemCallError(number) })
      }
      await delay(wait)
    }
  }

  end(): void {
    this.#sending = this.#sending.then(() => {
      if (!this.#disposed) libc.shutdown(this.#fd, SHUT_WR)
    })
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#ended = true
    this.#thread.close(this.#id)
    this.#wake?.()
  }
}
