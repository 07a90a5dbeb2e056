// Reads a tar archive as it arrives, with nothing of it believed.
import { invalid } from '@coracle/base/errors'
import { BLOCK_BYTES, paddingOf, parseHeader, parsePax, type TarHeader } from './tar-header.ts'

export interface TarEntry extends TarHeader {
  /** The content of a file. What is not read is skipped. */
  readonly content: AsyncIterable<Buffer>
}

const MAX_EXTENSION_BYTES = 64 * 1024
const MAX_PATH_BYTES = 4096

/** Throws `invalid_argument` for what is no tar archive, or ends too early. */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarEntry> {
  const bytes = new Bytes(source)
  let extension: Partial<Pick<TarHeader, 'name' | 'link' | 'sizeBytes'>> = {}
  for (;;) {
    const block = await bytes.take(BLOCK_BYTES)
    if (block === undefined) throw invalid('the archive ends too early')
    // Two blocks of zeros end it; the second one, and what some tars write behind, is of no interest.
    if (block.every((byte) => byte === 0)) return
    const header = parseHeader(block)
    if (['x', 'g', 'L', 'K'].includes(header.type)) {
      extension = { ...extension, ...(await readExtension(bytes, header)) }
      continue
    }
    const whole = { ...header, ...extension }
    extension = {}
    for (const path of [whole.name, whole.link])
      if (path.includes('\0') || Buffer.byteLength(path) > MAX_PATH_BYTES) throw invalid('the archive has a name that is no path')
    // Links and directories have no content, whatever the header says.
    const sizeBytes = ['0', '7'].includes(whole.type)
      ? whole.sizeBytes
      : ['1', '2', '5'].includes(whole.type)
        ? 0
        : whole.sizeBytes
    const content = new Content(bytes, sizeBytes)
    yield { ...whole, sizeBytes, content }
    await content.skip()
  }
}

async function readExtension(bytes: Bytes, { type, sizeBytes }: TarHeader): Promise<Partial<TarHeader>> {
  if (sizeBytes > MAX_EXTENSION_BYTES) throw invalid(`the archive has an extended header of ${sizeBytes} bytes`)
  const body = await bytes.take(sizeBytes + paddingOf(sizeBytes))
  if (body === undefined) throw invalid('the archive ends too early')
  const value = body.subarray(0, sizeBytes)
  if (type === 'g') return {}
  if (type === 'L') return { name: value.toString('utf8').replace(/\0.*$/s, '') }
  if (type === 'K') return { link: value.toString('utf8').replace(/\0.*$/s, '') }
  const records = parsePax(value)
  const [path, link, size] = ['path', 'linkpath', 'size'].map((key) => records.get(key))
  if (size !== undefined && !/^\d{1,15}$/.test(size)) throw invalid('the archive is damaged: a size is no number')
  return {
    ...(path !== undefined && { name: path }),
    ...(link !== undefined && { link }),
    ...(size !== undefined && { sizeBytes: Number(size) }),
  }
}

class Content implements AsyncIterable<Buffer> {
  readonly #bytes: Bytes
  #left: number
  #padding: number

  constructor(bytes: Bytes, sizeBytes: number) {
    this.#bytes = bytes
    this.#left = sizeBytes
    this.#padding = paddingOf(sizeBytes)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const piece = await this.#bytes.some(this.#left)
      if (piece === undefined) throw invalid('the archive ends too early')
      this.#left -= piece.length
      yield piece
    }
  }

  async skip(): Promise<void> {
    for await (const _piece of this);
    const padding = this.#padding
    this.#padding = 0
    if (padding > 0 && (await this.#bytes.take(padding)) === undefined) throw invalid('the archive ends too early')
  }
}

/** Pieces of any size, read in the sizes that are wanted. */
class Bytes {
  readonly #source: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Between one and `maxBytes` bytes; undefined at the end. */
  async some(maxBytes: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#source.next()
      if (done) return undefined
      this.#rest = value
    }
    const piece = this.#rest.subarray(0, maxBytes)
    this.#rest = this.#rest.subarray(piece.length)
    return piece
  }

  /** Exactly `count` bytes; undefined when the source ends before. */
  async take(count: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = []
    for (let left = count; left > 0; ) {
      const piece = await this.some(left)
      if (piece === undefined) return undefined
      pieces.push(piece)
      left -= piece.length
    }
    return Buffer.concat(pieces)
  }
}
