// Small files made beside the reading of the archive, by file-thread.ts. For one layer at a time. The order of an archive holds as if
// there were no second thread: only files of whose parent and place nothing else can be said are handed over, and whoever wants to
// look at what is there, replace or link to it has to `settle` first.
import { Worker } from 'node:worker_threads'
import { parentOf, type TarEntry } from '../tar/entry.ts'
import {
  batchBytes,
  batches,
  control,
  headerBytes,
  makeRing,
  type RingFailure,
  type RingMemory,
  recordBytes,
} from './file-ring.ts'

const maxFileBytes = 32 * 1024
const maxPending = 16_384

/** The thread. Start it before the thread that calls confines itself: it loads its program from the real root. */
export class FileThread {
  readonly memory: RingMemory = makeRing()
  #taken = false

  constructor() {
    const worker = new Worker(new URL('./file-thread.ts', import.meta.url), {
      workerData: this.memory,
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    })
    worker.unref()
    // Without it a batch would wait for ever: the daemon sees the end of the worker and tries the layers again.
    worker.on('error', (err) => {
      process.stderr.write(`${err instanceof Error ? err.stack : String(err)}\n`)
      process.exit(1)
    })
  }

  /** For the layer whose directory is `fd`; undefined while another layer has it. */
  take(fd: number): Beside | undefined {
    if (this.#taken) return undefined
    this.#taken = true
    return new Beside(this.memory, fd, () => {
      this.#taken = false
    })
  }
}

export class Beside {
  readonly #words: Int32Array
  readonly #data: Buffer
  readonly #error: Buffer
  readonly #fd: number
  readonly #release: () => void
  readonly #pending = new Set<string>()
  readonly #directories = new Set<string>([''])
  #isOff = false
  #number: number
  #at = 0
  #count = 0
  #left = 0

  constructor(memory: RingMemory, fd: number, release: () => void) {
    this.#words = new Int32Array(memory.control)
    this.#data = Buffer.from(memory.data)
    this.#error = Buffer.from(memory.error)
    this.#fd = fd
    this.#release = release
    this.#number = Atomics.load(this.#words, control.given)
  }

  /** A real directory, made in this layer. */
  noteDirectory(path: Buffer): void {
    // Reached through a link it has another name, too, that we do not know.
    if (!this.#directories.has(parentOf(path).toString('latin1'))) this.#isOff = true
    this.#directories.add(path.toString('latin1'))
  }

  /** Something of this layer is about to be removed: no more is handed over, as what is known of directories no longer holds. */
  turnOff(): void {
    this.#isOff = true
  }

  isPending(path: Buffer): boolean {
    return this.#pending.size > 0 && this.#pending.has(path.toString('latin1'))
  }

  /** Takes a file over, unless it has to be made at once, or the thread has enough to do. Its content follows by `data`. */
  takes({ path, sizeBytes, xattrs, mode, uid, gid, mtime }: TarEntry): boolean {
    if (sizeBytes > maxFileBytes || xattrs !== undefined) return false
    if (this.#isOff) return false
    if (!this.#directories.has(parentOf(path).toString('latin1'))) {
      // It may be another name of a place that something was handed over for.
      this.settle()
      return false
    }
    const name = path.toString('latin1')
    if (this.#directories.has(name) || this.#pending.has(name)) return false
    const bytes = recordBytes + path.length + sizeBytes
    if (this.#count > 0 && this.#at + bytes > this.#end) this.#give()
    if (this.#count === 0 && !this.#begin()) return false
    if (this.#pending.size >= maxPending) this.settle()
    if (this.#count === 0 && !this.#begin()) return false
    const data = this.#data
    const at = this.#at
    data.writeUInt32LE(mode, at)
    data.writeUInt32LE(uid, at + 4)
    data.writeUInt32LE(gid, at + 8)
    data.writeUInt32LE(mtime.nanoseconds, at + 12)
    data.writeUInt32LE(sizeBytes, at + 16)
    data.writeDoubleLE(mtime.seconds, at + 20)
    data.writeUInt32LE(path.length, at + 28)
    path.copy(data, at + recordBytes)
    this.#at += recordBytes + path.length
    this.#left = sizeBytes
    this.#count++
    this.#pending.add(name)
    return true
  }

  data(chunk: Buffer): void {
    this.#at += chunk.copy(this.#data, this.#at)
    this.#left -= chunk.length
  }

  /** Resolves everything handed over. Throws what failed. */
  settle(): void {
    if (this.#pending.size === 0) return
    this.#give()
    for (;;) {
      const done = Atomics.load(this.#words, control.done)
      if (done === this.#number) break
      Atomics.wait(this.#words, control.done, done)
    }
    this.#pending.clear()
    this.#throwFailure()
  }

  /** Lets another layer have the thread. What was handed over and not settled may not be made. */
  [Symbol.dispose](): void {
    // A record whose content did not come is not handed over.
    if (this.#left > 0) this.#count = 0
    try {
      this.settle()
    } catch {
      // Told already, or of no interest any more.
    }
    Atomics.store(this.#words, control.failed, 0)
    this.#release()
  }

  get #end(): number {
    return ((this.#number % batches) + 1) * batchBytes
  }

  /** False when the ring is full: then the caller is quicker itself. */
  #begin(): boolean {
    this.#throwFailure()
    if (this.#number - Atomics.load(this.#words, control.done) >= batches) return false
    const start = (this.#number % batches) * batchBytes
    this.#data.writeInt32LE(this.#fd, start)
    this.#at = start + headerBytes
    return true
  }

  #give(): void {
    if (this.#count === 0) return
    this.#data.writeInt32LE(this.#count, (this.#number % batches) * batchBytes + 4)
    this.#count = 0
    this.#number++
    Atomics.store(this.#words, control.given, this.#number)
    Atomics.notify(this.#words, control.given)
  }

  #throwFailure(): void {
    if (Atomics.load(this.#words, control.failed) === 0) return
    const length = Atomics.load(this.#words, control.errorLength)
    const { code, message, path } = JSON.parse(this.#error.toString('utf8', 0, length)) as RingFailure
    throw new FileFailure(path, code, message)
  }
}

/** A file of the second thread that could not be made. `code` as Node's errors have it. */
export class FileFailure extends Error {
  override readonly name = 'FileFailure'
  readonly code: string
  readonly path: string
  constructor(path: string, code: string, message: string) {
    super(message)
    this.path = path
    this.code = code
  }
}
