// Header compression: RFC 7541. We send every header as a literal; a server may use all of it.
import { CodedError } from '@coracle/base/errors'
import { decodeHuffman } from './huffman.ts'

export type Header = readonly [name: string, value: string]

/** RFC 7541 appendix A, from index 1; what has no value is listed by name alone. */
const STATIC_TABLE: readonly Header[] = (
  ':authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206|' +
  ':status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|' +
  'access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|content-encoding|content-language|' +
  'content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|' +
  'if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|' +
  'referer|refresh|retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'
)
  .split('|')
  .map((entry): Header => {
    const blank = entry.indexOf(' ')
    return blank < 0 ? [entry, ''] : [entry.slice(0, blank), entry.slice(blank + 1)]
  })

/** What the peer may use when we do not say otherwise. */
const DEFAULT_TABLE_BYTES = 4096
const ENTRY_OVERHEAD_BYTES = 32

/** Every header as "literal without indexing", strings uncompressed: a few bytes more, nothing to keep. */
export function encodeHeaders(headers: readonly Header[]): Buffer {
  const parts = headers.flatMap(([name, value]) => [Buffer.from([0]), encodeString(name), encodeString(value)])
  return Buffer.concat(parts)
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const length: number[] = []
  let rest = bytes.length
  if (rest < 127) length.push(rest)
  else {
    length.push(127)
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) length.push(128 + (rest % 128))
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

/** Decodes the header blocks of one connection, in their order: it keeps the dynamic table. */
export class HeaderDecoder {
  #dynamic: Header[] = []
  #maxTableBytes = DEFAULT_TABLE_BYTES

  /** @throws CodedError `unavailable` for a block that is malformed; the connection cannot be used any more. */
  decode(block: Buffer): Map<string, string> {
    const cursor = new Cursor(block)
    const headers = new Map<string, string>()
    while (!cursor.done()) {
      const byte = cursor.peek()
      if (byte >= 0x80) {
        const [name, value] = this.#entry(cursor.integer(7))
        headers.set(name, value)
      } else if (byte >= 0x40) {
        const header = this.#literal(cursor, 6)
        this.#remember(header)
        headers.set(...header)
      } else if (byte >= 0x20) {
        this.#maxTableBytes = Math.min(cursor.integer(5), DEFAULT_TABLE_BYTES)
        this.#evict()
      } else headers.set(...this.#literal(cursor, 4))
    }
    return headers
  }

  #literal(cursor: Cursor, prefixBits: number): [string, string] {
    const index = cursor.integer(prefixBits)
    const name = index === 0 ? cursor.string() : this.#entry(index)[0]
    return [name, cursor.string()]
  }

  #entry(index: number): Header {
    const entry = index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#dynamic[index - STATIC_TABLE.length - 1]
    if (!entry) throw new CodedError('unavailable', `the reply has a header with index ${index}, which stands for nothing`)
    return entry
  }

  #remember(header: Header): void {
    this.#dynamic.unshift(header)
    this.#evict()
  }

  #evict(): void {
    let bytes = 0
    const kept = this.#dynamic.findIndex(([name, value]) => {
      bytes += name.length + value.length + ENTRY_OVERHEAD_BYTES
      return bytes > this.#maxTableBytes
    })
    if (kept >= 0) this.#dynamic.length = kept
  }
}

class Cursor {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  done(): boolean {
    return this.#offset >= this.#bytes.length
  }

  peek(): number {
    return this.#bytes[this.#offset] ?? 0
  }

  integer(prefixBits: number): number {
    const max = 2 ** prefixBits - 1
    let value = this.#next() & max
    if (value < max) return value
    for (let shift = 0; ; shift += 7) {
      const byte = this.#next()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
      if (shift > 28) throw new CodedError('unavailable', 'the reply has a header with an endless number')
    }
  }

  string(): string {
    const huffman = this.peek() >= 0x80
    const length = this.integer(7)
    const bytes = this.#bytes.subarray(this.#offset, this.#offset + length)
    if (bytes.length < length) throw new CodedError('unavailable', 'the reply has a header that ends too early')
    this.#offset += length
    return huffman ? decodeHuffman(bytes) : bytes.toString('latin1')
  }

  #next(): number {
    const byte = this.#bytes[this.#offset++]
    if (byte === undefined) throw new CodedError('unavailable', 'the reply has a header that ends too early')
    return byte
  }
}
