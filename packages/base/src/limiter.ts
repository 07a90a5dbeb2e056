import { stage } from './stages.ts'

/** Runs at most `limit` pieces of work at once; the rest wait in order. */
export class Limiter {
  readonly #limit: number
  readonly #noun: string
  #running = 0
  readonly #waiting: { start: () => void; signal: AbortSignal; onAbort: () => void }[] = []

  /** `noun` says to those who wait what there is too little of: `download slot`. */
  constructor(limit: number, noun = 'turn') {
    this.#limit = limit
    this.#noun = noun
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#running >= this.#limit) await stage([this.#noun, ''], () => this.#turn(signal))
    else this.#running++
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else {
        // The place is handed over: `#running` stays as it is.
        next.signal.removeEventListener('abort', next.onAbort)
        next.start()
      }
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = () => {
      const index = this.#waiting.indexOf(entry)
      if (index >= 0) this.#waiting.splice(index, 1)
      reject(signal.reason)
    }
    const entry = { start: resolve, signal, onAbort }
    this.#waiting.push(entry)
    signal.addEventListener('abort', onAbort, { once: true })
    return promise
  }
}
