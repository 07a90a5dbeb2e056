// A layer's archive without the contents of its files: headers, padding, what is at the end. With the unpacked files it gives the archive
// back bit for bit, so that an image can leave the store with its diffIDs. Written beside the extraction, as zstd frames.
import { createHash, type Hash } from 'node:crypto'
import { closeSync, writeSync } from 'node:fs'
import zlib from 'node:zlib'
import { isErrno } from '@coracle/base/errno'

const frameBytes = 1024 * 1024
/** An archive that is mostly headers is not worth it: nothing legitimate comes near. */
const maxSkeletonBytes = 512 * 1024 * 1024
const compression = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }

export class SkeletonRecorder {
  readonly #fd: number
  readonly #frame: Buffer = Buffer.allocUnsafe(frameBytes)
  readonly #hash: Hash = createHash('sha256')
  #fill = 0
  #total = 0
  #state: 'open' | 'given up' | 'closed' = 'open'

  /** `fd`: the file, open for writing; closed by `finish` or `abandon`. */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** Never fails: without a skeleton a layer can be used, only not taken out again. */
  readonly add = (bytes: Buffer): void => {
    if (this.#state !== 'open') return
    this.#total += bytes.length
    if (this.#total > maxSkeletonBytes) this.#giveUp()
    for (let at = 0; at < bytes.length && this.#state === 'open'; ) {
      const taken = bytes.copy(this.#frame, this.#fill, at)
      at += taken
      this.#fill += taken
      if (this.#fill === frameBytes) this.#flush()
    }
  }

  /** Digest of the file, if there is a whole skeleton. The layer's sync makes it durable. */
  finish(): string | undefined {
    if (this.#state === 'open') this.#flush()
    const isWhole = this.#state === 'open'
    this.abandon()
    return isWhole ? `sha256:${this.#hash.digest('hex')}` : undefined
  }

  abandon(): void {
    if (this.#state !== 'closed') closeSync(this.#fd)
    this.#state = 'closed'
  }

  #giveUp(): void {
    this.#state = 'given up'
    this.#fill = 0
  }

  #flush(): void {
    if (this.#fill === 0) return
    const frame = zlib.zstdCompressSync(this.#frame.subarray(0, this.#fill), compression)
    this.#fill = 0
    this.#hash.update(frame)
    try {
      for (let at = 0; at < frame.length; ) at += writeSync(this.#fd, frame, at, frame.length - at)
    } catch (err) {
      if (!isErrno(err, 'ENOSPC', 'EDQUOT')) throw err
      this.#giveUp()
    }
  }
}
