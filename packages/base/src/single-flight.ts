import { explain } from './errors.ts'
import { abortable } from './signals.ts'
import { beginStage, inStage, type Stage, stage } from './stages.ts'

interface Flight<T> {
  readonly result: Promise<T>
  readonly controller: AbortController
  readonly stage: Stage
  waiters: number
}

/** Joins equal work: while a key is in flight every caller gets the one result. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>()
  readonly #noun: string

  /** `noun` is what the work is called when somebody asks what is under way: `run pod`. */
  constructor(noun = 'shared work') {
    this.#noun = noun
  }

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
    const inFlight = this.#flights.get(key)
    // A flight that was abandoned and aborted is no longer worth joining.
    const joins = inFlight !== undefined && !inFlight.controller.signal.aborted
    const flight = joins ? inFlight : this.#start(key, work)
    flight.waiters++
    try {
      if (!joins) return await abortable(flight.result, signal)
      const other = ['shared work', this.#noun] as const
      return await stage(other, () => abortable(flight.result, signal), { waitsFor: () => flight.stage })
    } finally {
      flight.waiters--
      if (flight.waiters === 0 && whenAbandoned === 'abort') flight.controller.abort(signal.reason)
    }
  }

  /** The result of what is in flight, for one who neither joins it nor may end it. */
  resultOf(key: string): Promise<T> | undefined {
    return this.#flights.get(key)?.result
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController()
    const own = beginStage([this.#noun, ''])
    const flight: Flight<T> = {
      controller,
      stage: own,
      waiters: 0,
      result: Promise.resolve()
        .then(() => inStage(own, () => work(controller.signal)))
        .finally(() => {
          if (this.#flights.get(key) === flight) this.#flights.delete(key)
        }),
    }
    flight.result.then(
      () => own.end(undefined),
      (err: unknown) => own.end(explain(err)),
    )
    // All waiters may have left before it fails.
    flight.result.catch(() => {})
    this.#flights.set(key, flight)
    return flight
  }

  get size(): number {
    return this.#flights.size
  }
}
