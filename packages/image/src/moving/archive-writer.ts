// A tar archive being written to a file that takes its name only when it is complete. Entries go in one after the other.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Limiter } from '@coracle/base/limiter'
import { formatHeader } from '../tar/format-header.ts'
import { BLOCK_BYTES } from '../tar/header.ts'
import { nameless } from './temporary-file.ts'

export class ArchiveWriter implements AsyncDisposable {
  readonly #file: FileHandle
  /** Undefined: to standard output, at the end. */
  readonly #place: { readonly path: string; readonly temporary: string } | undefined
  readonly #turns = new Limiter(1)
  readonly #names = new Set<string>()
  #offset = 0
  #committed = false

  constructor(file: FileHandle, place: { path: string; temporary: string } | undefined) {
    this.#file = file
    this.#place = place
  }

  /** `-` is standard output. Throws when the directory cannot be written to. */
  static async open(path: string): Promise<ArchiveWriter> {
    if (path === '-') return new ArchiveWriter(await nameless(), undefined)
    const temporary = join(dirname(path), `.coracle-${randomBytes(8).toString('hex')}`)
    return new ArchiveWriter(await open(temporary, 'wx+', 0o600), { path, temporary })
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
    if (this.#place === undefined) {
      for await (const chunk of createReadStream('', { fd: this.#file.fd, start: 0, autoClose: false }))
        if (!process.stdout.write(chunk)) await new Promise<void>((resolve) => process.stdout.once('drain', resolve))
    } else {
      await this.#file.chmod(0o644)
      await this.#file.datasync()
      await rename(this.#place.temporary, this.#place.path)
    }
    this.#committed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
    if (!this.#committed && this.#place !== undefined) await rm(this.#place.temporary, { force: true })
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten
}
