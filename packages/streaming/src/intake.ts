// What a session has received and nobody has read yet: over its limit, the connection is read no further.
import { charge } from './channel.ts'
import type { Wire } from './wire.ts'

/** While paused a dead peer shows only when something is sent to it. */
const PROBE_EVERY_MS = 15_000

/** `replies`: answers (pings, resets) pile up because the peer reads nothing. `tunnel`: the protocol inside this one is full. */
type PauseReason = 'replies' | 'tunnel'

export class Intake {
  readonly #wire: Wire
  readonly #limitBytes: number
  /** Sends something harmless. */
  readonly #probe: () => void
  #heldBytes = 0
  readonly #reasons = new Set<PauseReason>()
  #timer: NodeJS.Timeout | undefined

  constructor(wire: Wire, limitBytes: number, probe: () => void) {
    this.#wire = wire
    this.#limitBytes = limitBytes
    this.#probe = probe
  }

  hold(bytes: number): void {
    this.#heldBytes += charge(bytes)
    this.#update()
  }

  release(bytes: number): void {
    this.#heldBytes -= charge(bytes)
    this.#update()
  }

  /** Pauses for another reason than held bytes, until it is gone. */
  block(reason: PauseReason, blocked: boolean): void {
    if (blocked === this.#reasons.has(reason)) return
    if (blocked) this.#reasons.add(reason)
    else this.#reasons.delete(reason)
    this.#update()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #update(): void {
    const blocked = this.#reasons.size > 0
    const over = blocked || this.#heldBytes > this.#limitBytes
    if (over && this.#timer === undefined) {
      this.#wire.pause()
      this.#timer = setInterval(this.#probe, PROBE_EVERY_MS)
    } else if (this.#timer !== undefined && !blocked && this.#heldBytes <= this.#limitBytes / 2) {
      this.stop()
      this.#wire.resume()
    }
  }
}
