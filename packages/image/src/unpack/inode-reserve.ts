import { DiskError } from '../disk-error.ts'

/** Total 0: the file system has no fixed number of inodes. */
export type Inodes = () => { readonly free: number; readonly total: number }

/** Refuses to go on when the disk has few inodes left: what runs on it needs some too. */
export class InodeReserve {
  readonly #inodes: Inodes
  #checkAt = 0

  constructor(inodes: Inodes) {
    this.#inodes = inodes
  }

  /** Before entry number `entries`. Throws `resource_exhausted`. */
  check(entries: number): void {
    if (entries <= this.#checkAt) return
    const { free, total } = this.#inodes()
    const reserve = Math.floor(total / 100)
    if (free < reserve) throw new DiskError('no inode', `${free} inodes are free, ${reserve} are kept in reserve`)
    const spare = total === 0 ? Number.POSITIVE_INFINITY : free - reserve
    // Other layers take some meanwhile.
    this.#checkAt = entries + Math.min(4096, Math.max(16, Math.floor(spare / 4)))
  }
}
