import { abortable } from './signals.ts'
import { currentStage, type Stage, stage } from './stages.ts'

/** Mutual exclusion by key, first come first served; a waiter may give up. Locks of different keys never meet. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()
  readonly #holders = new Map<string, Stage | undefined>()
  readonly #name: string

  /** `noun` says to those who wait what is locked: `pod`. */
  constructor(noun?: string) {
    this.#name = noun === undefined ? 'lock' : `${noun} lock`
  }

  /** Waits for the key, then holds it until the result is disposed. Rejects with the signal's reason. */
  async lock(key: string, signal: AbortSignal): Promise<Disposable> {
    const before = this.#tails.get(key)
    const { promise: done, resolve: release } = Promise.withResolvers<void>()
    const tail = before === undefined ? done : before.then(() => done)
    this.#tails.set(key, tail)
    const leave = () => {
      release()
      // Whoever is last in the queue removes the key.
      void tail.then(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key)
      })
    }
    try {
      if (before === undefined) signal.throwIfAborted()
      else await this.#wait(key, before, signal)
    } catch (err) {
      leave()
      throw err
    }
    this.#holders.set(key, currentStage())
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (held) this.#holders.delete(key)
        held = false
        leave()
      },
    }
  }

  #wait(key: string, before: Promise<void>, signal: AbortSignal): Promise<void> {
    return stage([this.#name, key], () => abortable(before, signal), { waitsFor: () => this.#holders.get(key) })
  }

  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }

  get size(): number {
    return this.#tails.size
  }
}
