import { abortable } from './signals.ts'

/** Mutual exclusion by key, first come first served; a waiter may give up. Locks of different keys never meet. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  /** Waits for the key, then holds it until the result is disposed. Rejects with the signal's reason. */
  async lock(key: string, signal: AbortSignal): Promise<Disposable> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const { promise: done, resolve: release } = Promise.withResolvers<void>()
    const tail = before.then(() => done)
    this.#tails.set(key, tail)
    const free = () => {
      release()
      // Whoever is last in the queue removes the key.
      void tail.then(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key)
      })
    }
    try {
      await abortable(before, signal)
    } catch (err) {
      free()
      throw err
    }
    return { [Symbol.dispose]: free }
  }

  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }

  get size(): number {
    return this.#tails.size
  }
}
