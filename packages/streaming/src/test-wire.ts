import type { Wire, WireEvents } from './wire.ts'

/** A wire in memory for the tests: what the session writes is kept, what it shall receive is given. */
export class TestWire implements Wire {
  readonly written: Buffer[] = []
  paused = false
  ended = false
  closedReason: string | undefined
  backlogBytes = 0
  #events: WireEvents | undefined

  start(events: WireEvents): void {
    this.#events = events
  }
  write(parts: readonly Buffer[]): void {
    this.written.push(...parts)
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.close('destroyed')
  }

  receive(chunk: Buffer): void {
    this.#events?.data(chunk)
  }
  drain(): void {
    this.#events?.drain()
  }
  close(reason: string): void {
    const events = this.#events
    this.#events = undefined
    this.closedReason ??= reason
    events?.closed(reason)
  }
}
