import { abortable } from './signals.ts'

interface Flight<T> {
  readonly result: Promise<T>
  readonly controller: AbortController
  waiters: number
}

/** Joins equal work: while a key is in flight every caller gets the one result. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>()

  /**
   * Runs `work`, or joins it when `key` is already in flight. A caller that aborts leaves alone;
   * the work's own signal aborts only when `whenAbandoned` is `abort` and the last waiter has left.
   */
  async join(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
    whenAbandoned: 'abort' | 'continue' = 'abort',
  ): Promise<T> {
    signal.throwIfAborted()
    let flight = this.#flights.get(key)
    // A flight that was abandoned and aborted is no longer worth joining.
    if (flight === undefined || flight.controller.signal.aborted) flight = this.#start(key, work)
    flight.waiters++
    try {
      return await abortable(flight.result, signal)
    } finally {
      flight.waiters--
      if (flight.waiters === 0 && whenAbandoned === 'abort') flight.controller.abort(signal.reason)
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController()
    const flight: Flight<T> = {
      controller,
      waiters: 0,
      result: Promise.resolve()
        .then(() => work(controller.signal))
        .finally(() => {
          if (this.#flights.get(key) === flight) this.#flights.delete(key)
        }),
    }
    // All waiters may have left before it fails.
    flight.result.catch(() => {})
    this.#flights.set(key, flight)
    return flight
  }

  get size(): number {
    return this.#flights.size
  }
}
