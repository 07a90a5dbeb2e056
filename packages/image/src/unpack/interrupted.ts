// What an interrupted download of a slow blob leaves on disk, so that the next one, also of another daemon, goes on by Range. Nothing is
// written for a download that is quick: it begins some seconds in, with the part from there on, and what came before is fetched again.
// Nothing is synced and nothing of it is believed: the blob's digest tells whether it was right.
import { closeSync, fstatSync, openSync, readdirSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import type { Descriptor } from '@coracle/oci-spec/image'

const suffix = '.part'
const readBytes = 256 * 1024

export interface InterruptedOptions {
  /** Makes the directory for such files the root and working directory of the thread. */
  readonly enter: () => void
  /** Unlike any that is written by another download at the same time. */
  readonly name: string
  /** How long a download lasts before it is worth it. */
  readonly afterMs: number
}

/** The bytes from `start` to before `end` of a blob, each at its own offset in a sparse file that is named after blob and `start`. */
export class Interrupted {
  readonly #options: InterruptedOptions
  readonly #beganMs = performance.now()
  #file: { readonly fd: number; readonly name: string } | undefined
  #state: 'open' | 'given up' = 'open'
  start = 0
  end = 0

  constructor(options: InterruptedOptions, blob: Descriptor) {
    this.#options = options
    options.enter()
    for (const name of readdirSync('.')) {
      const start = startOf(name, options.name)
      if (start === undefined) continue
      const fd = this.#file === undefined ? openSync(name, 'r+') : -1
      const end = fd < 0 ? 0 : fstatSync(fd).size
      if (end > start && end <= blob.size) {
        this.#file = { fd, name }
        this.start = start
        this.end = end
      } else {
        if (fd >= 0) closeSync(fd)
        unlinkSync(name)
      }
    }
  }

  get isFound(): boolean {
    return this.end > this.start
  }

  /** What was found. */
  *read(): Generator<Buffer> {
    const { fd } = this.#file as { fd: number }
    for (let at = this.start; at < this.end; ) {
      const chunk = Buffer.allocUnsafe(Math.min(readBytes, this.end - at))
      const count = readSync(fd, chunk, 0, chunk.length, at)
      if (count === 0) throw new Error('a part of a download has shrunk')
      at += count
      yield chunk.subarray(0, count)
    }
  }

  /** The next bytes of the download, at `offset` in the blob. Never fails: it is only a help. */
  note(chunk: Buffer, offset: number): void {
    if (this.#state !== 'open' || (this.#file === undefined && performance.now() - this.#beganMs < this.#options.afterMs)) return
    try {
      this.#file ??= this.#create(offset)
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#file.fd, chunk, at, chunk.length - at, offset + at)
    } catch (err) {
      if (!isErrno(err, 'ENOSPC', 'EDQUOT', 'EFBIG', 'EEXIST', 'EROFS', 'EIO')) throw err
      unlessErrno(['EROFS', 'EIO'], () => this.remove(), undefined)
    }
  }

  /** It is over, or was wrong. */
  remove(): void {
    const file = this.#file
    this.close()
    if (file === undefined) return
    this.#options.enter()
    unlinkSync(file.name)
  }

  /** Leaves it for another time. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd)
    this.#file = undefined
    this.#state = 'given up'
  }

  #create(start: number): { fd: number; name: string } {
    this.#options.enter()
    const name = `${this.#options.name}@${start}${suffix}`
    this.start = start
    return { fd: openSync(name, 'wx', 0o600), name }
  }
}

function startOf(file: string, name: string): number | undefined {
  if (!file.startsWith(`${name}@`) || !file.endsWith(suffix)) return undefined
  const start = file.slice(name.length + 1, -suffix.length)
  return /^\d{1,15}$/.test(start) ? Number(start) : undefined
}
