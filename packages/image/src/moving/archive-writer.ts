// A tar archive being written to a file that takes its name only when it is complete. Entries go in one after the other.
import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { isErrno } from '@coracle/base/errno'
import { invalid } from '@coracle/base/errors'
import { Limiter } from '@coracle/base/limiter'
import { formatHeader } from '../tar/format-header.ts'
import { BLOCK_BYTES } from '../tar/header.ts'
import { nameless } from './temporary-file.ts'

type Place =
  | { readonly kind: 'file'; readonly path: string; readonly temporary: string }
  /** A pipe or a device, which stays: it is written to at the end. */
  | { readonly kind: 'stream'; readonly path: string }
  | { readonly kind: 'stdout' }

export class ArchiveWriter implements AsyncDisposable {
  readonly #file: FileHandle
  readonly #place: Place
  readonly #turns = new Limiter(1)
  readonly #names = new Set<string>()
  #offset = 0
  #committed = false

  constructor(file: FileHandle, place: Place) {
    this.#file = file
    this.#place = place
  }

  /** `-` is standard output. Throws `invalid_argument` for a directory, and when the directory it is to be in cannot be written to. */
  static async open(given: string): Promise<ArchiveWriter> {
    if (given === '-') return new ArchiveWriter(await nameless(), { kind: 'stdout' })
    const path = await behindLinks(given)
    const there = await stat(path).catch(unless('ENOENT'))
    if (there?.isDirectory()) throw invalid(`archive ${given} is a directory: expected a file`)
    // A rename would put a file in the place of /dev/null.
    if (there && (!there.isFile() || path.startsWith('/proc/')))
      return new ArchiveWriter(await nameless(), { kind: 'stream', path })
    const temporary = join(dirname(path), `.coracle-${randomBytes(8).toString('hex')}`)
    return new ArchiveWriter(await open(temporary, 'wx+', 0o600), { kind: 'file', path, temporary })
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** The length need not be known before. An entry whose content throws leaves no trace. */
  async add(name: string, content: AsyncIterable<Buffer> | Iterable<Buffer>, signal: AbortSignal): Promise<void> {
    await this.addNamed(content, () => name, signal)
  }

  /** As `add`, with a name that is known at the end. An entry whose name is there already is left out again. Resolves to the name. */
  addNamed(content: AsyncIterable<Buffer> | Iterable<Buffer>, nameAtEnd: () => string, signal: AbortSignal): Promise<string> {
    return this.#turns.run(signal, async () => {
      const start = this.#offset + BLOCK_BYTES
      let at = start
      for await (const chunk of content) {
        await writeAll(this.#file, chunk, at)
        at += chunk.length
      }
      // Only now is it known how long it is, and that it is what it should be.
      const name = nameAtEnd()
      if (this.#names.has(name)) return name
      await writeAll(this.#file, formatHeader({ name, sizeBytes: at - start }), this.#offset)
      this.#offset = start + Math.ceil((at - start) / BLOCK_BYTES) * BLOCK_BYTES
      await writeAll(this.#file, Buffer.alloc(this.#offset - at), at)
      this.#names.add(name)
      return name
    })
  }

  async commit(): Promise<void> {
    await this.#file.truncate(this.#offset)
    await this.#file.truncate(this.#offset + 2 * BLOCK_BYTES)
    const content = () => createReadStream('', { fd: this.#file.fd, start: 0, autoClose: false })
    if (this.#place.kind === 'stdout') {
      for await (const chunk of content())
        if (!process.stdout.write(chunk)) await new Promise<void>((resolve) => process.stdout.once('drain', resolve))
    } else if (this.#place.kind === 'stream') await pipeline(content(), createWriteStream(this.#place.path))
    else {
      await this.#file.chmod(0o644)
      await this.#file.datasync()
      await rename(this.#place.temporary, this.#place.path)
    }
    this.#committed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
    if (!this.#committed && this.#place.kind === 'file') await rm(this.#place.temporary, { force: true })
  }
}

/** Where the last of a chain of links leads, also when nothing is there. */
async function behindLinks(given: string): Promise<string> {
  let path = given
  // More than the kernel follows; then it says so.
  for (let links = 0; links < 40; links++) {
    path = join(await realpath(dirname(path)), basename(path))
    // What /proc has for an open pipe is no path.
    if (path.startsWith('/proc/')) return path
    const target = await readlink(path).catch(unless('EINVAL', 'ENOENT'))
    if (target === undefined) return path
    path = resolve(dirname(path), target)
  }
  return path
}

const unless =
  (...codes: string[]) =>
  (err: unknown): undefined => {
    if (!isErrno(err, ...codes)) throw err
  }

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten
}
