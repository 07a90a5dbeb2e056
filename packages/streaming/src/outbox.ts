// Who may send next: channels take turns, and none while the connection still has enough to swallow.
import type { Channel } from './channel.ts'
import type { Wire } from './wire.ts'

/** The most one channel sends in a turn, so that bulk data does not hold up the others. */
export const TURN_BYTES = 64 * 1024
/** Output given to the connection but not yet taken by the kernel, for each session. */
const BACKLOG_LIMIT_BYTES = 256 * 1024

export class Outbox {
  readonly #wire: Pick<Wire, 'backlogBytes'>
  /** Sends up to a turn's worth of the channel; true when it should get another turn. */
  readonly #send: (channel: Channel) => boolean
  #queue: Channel[] = []
  readonly #queued = new Set<Channel>()
  #flushing = false

  constructor(wire: Pick<Wire, 'backlogBytes'>, send: (channel: Channel) => boolean) {
    this.#wire = wire
    this.#send = send
  }

  /** Gives the channel a turn. Idempotent. */
  add(channel: Channel): void {
    if (!this.#queued.has(channel)) {
      this.#queued.add(channel)
      this.#queue.push(channel)
    }
    this.flush()
  }

  /** Goes on sending; to be called when the connection drained. */
  flush(): void {
    // A sent piece makes its writer write more, which comes back here.
    if (this.#flushing) return
    this.#flushing = true
    while (this.#wire.backlogBytes < BACKLOG_LIMIT_BYTES) {
      const channel = this.#queue.shift()
      if (channel === undefined) break
      this.#queued.delete(channel)
      if (this.#send(channel)) {
        this.#queued.add(channel)
        this.#queue.push(channel)
      }
    }
    this.#flushing = false
  }

  clear(): void {
    this.#queue = []
    this.#queued.clear()
  }
}
