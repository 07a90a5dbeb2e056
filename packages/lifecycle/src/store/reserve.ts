// Bytes set aside on the disk of the database: given back when it is full, so that pods can still be stopped and removed.
import { closeSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'

const log = logger('lifecycle')

/** SQLite's log is folded into the database after a thousand pages and then written over: it never needs more than this to go on. */
const reserveBytes = 4 * 1024 * 1024
const refillEveryMs = 60_000

export class Reserve {
  readonly #path: string
  #given = false
  #triedAt = 0

  constructor(path: string) {
    this.#path = path
    this.#fill()
  }

  /** True when there was something to give. */
  give(): boolean {
    if (this.#given) return false
    this.#given = true
    this.#triedAt = performance.now()
    log.error('the disk of the records is full; using the reserve to stop and remove', { reserve: this.#path })
    rmSync(this.#path, { force: true })
    return true
  }

  /** Sets it aside again when there is room, tried now and then. */
  refill(): void {
    if (!this.#given || performance.now() - this.#triedAt < refillEveryMs) return
    this.#triedAt = performance.now()
    const { bavail, bsize } = statfsSync(dirname(this.#path))
    if (bavail * bsize > 4 * reserveBytes) this.#fill()
  }

  #fill(): void {
    if (statSync(this.#path, { throwIfNoEntry: false })?.size === reserveBytes) return
    const zeros = Buffer.alloc(1024 * 1024)
    try {
      const fd = openSync(this.#path, 'w', 0o600)
      try {
        for (let size = 0; size < reserveBytes; ) size += writeSync(fd, zeros)
      } finally {
        closeSync(fd)
      }
      this.#given = false
    } catch (err) {
      // Half of it is better than nothing.
      log.warn('no reserve for a full disk could be set aside', { error: explain(err) })
    }
  }
}
