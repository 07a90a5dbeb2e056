import type { Readable, Writable } from 'node:stream'
import { delay } from '@coracle/base/signals'

/** After the process ended, its output counts as complete when nothing came for so long while the client was ready to take it. */
const silenceMs = 1000
const pollMs = 100

/** Copies with back-pressure until either side is over. The target is ended only when the source was. */
export function forward(source: Readable, target: Writable): void {
  source.pipe(target)
  // One side may be destroyed at any moment; that is no news here.
  source.on('error', () => target.destroy())
  target.on('error', () => source.unpipe(target))
  target.on('close', () => source.destroy())
}

/** Output of a process on its way to a client, which may read slowly or not want it at all. */
export class Forwarding {
  readonly #source: Readable | undefined
  readonly #target: Writable | undefined
  #over = false
  #lastDataAt = performance.now()

  constructor(source: Readable | undefined, target: Writable | undefined) {
    this.#source = source
    this.#target = target
    this.#over = source === undefined
    const end = () => {
      this.#over = true
    }
    source?.once('end', end)
    source?.once('close', end)
    source?.once('error', end)
    if (target === undefined) {
      source?.resume()
      return
    }
    source?.on('data', (chunk: Buffer) => {
      this.#lastDataAt = performance.now()
      if (target.destroyed || target.write(chunk)) return
      source.pause()
      target.once('drain', () => {
        this.#lastDataAt = performance.now()
        source.resume()
      })
    })
    target.once('close', () => source?.resume())
    target.on('error', () => {})
  }

  /** Resolves when the source ended and everything was handed to the client, or was silent although the client was ready. */
  async drained(): Promise<void> {
    const start = performance.now()
    while (!this.#over) {
      const blocked = this.#target?.writableNeedDrain === true && !this.#target.destroyed
      const silent = performance.now() - Math.max(this.#lastDataAt, start)
      if (!blocked && silent > silenceMs) return
      await Promise.race([this.#ended(), delay(pollMs)])
    }
  }

  close(): void {
    this.#source?.destroy()
  }

  #ended(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#source?.once('end', resolve)
    this.#source?.once('close', resolve)
    return promise
  }
}
