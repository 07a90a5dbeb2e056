// Waits for processes that are not our children: all pidfds in one poll(2), which the kernel answers without a look at /proc.
import { closeSync } from 'node:fs'
import type { ProcessIdentity } from './host.ts'
import { libc } from './libc.ts'
import { openPidfd } from './pidfd.ts'

const POLLIN = 1
const minWaitMs = 1
const maxWaitMs = 50

interface Watch {
  readonly fd: number
  readonly onExit: () => void
}

export class ExitWatch {
  readonly #watches = new Set<Watch>()
  #timer: NodeJS.Timeout | undefined
  #waitMs = minWaitMs

  /** Resolves when the process is gone; rejects with the signal's reason. */
  async wait(process: ProcessIdentity, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const fd = openPidfd(process)
    if (fd === undefined) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const watch: Watch = { fd, onExit: resolve }
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#watches.add(watch)
    // What was just asked for tends to happen soon.
    this.#waitMs = minWaitMs
    this.#schedule()
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#watches.delete(watch)
      closeSync(fd)
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#watches.size === 0 ? undefined : setTimeout(() => this.#look(), this.#waitMs)
  }

  #look(): void {
    const watches = [...this.#watches]
    const poll = Buffer.alloc(8 * watches.length)
    watches.forEach(({ fd }, index) => {
      poll.writeInt32LE(fd, index * 8)
      poll.writeInt16LE(POLLIN, index * 8 + 4)
    })
    libc.poll(poll, watches.length, 0)
    watches.forEach((watch, index) => {
      if (poll.readInt16LE(index * 8 + 6) === 0) return
      this.#watches.delete(watch)
      watch.onExit()
    })
    this.#waitMs = Math.min(this.#waitMs * 2, maxWaitMs)
    this.#schedule()
  }
}
