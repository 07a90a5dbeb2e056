// Header blocks of SPDY/3.1 (draft section 2.6.10): name/value pairs behind one zlib stream a direction.
import { constants, inflateRawSync } from 'node:zlib'
import { invalid } from '@coracle/base/errors'
import { adler32, headerDictionary, headerDictionaryId } from './dictionary.ts'

export type Headers = ReadonlyMap<string, string>

/** Kubernetes sends at most four short headers. */
const MAX_HEADERS = 100
const MAX_FIELD_BYTES = 16 * 1024
const MAX_BLOCK_BYTES = 64 * 1024
const WINDOW_BYTES = 32 * 1024

/**
 * Inflates the header blocks of one direction, in order. Each block must end at a byte boundary (Z_SYNC_FLUSH), which lets every
 * block be inflated on its own with the 32 KiB before it as dictionary: synchronous, and the output has a hard limit.
 */
export class HeaderInflater {
  #history: Buffer = headerDictionary
  #first = true

  /** Throws `invalid_argument` for bytes that do not inflate, and when they inflate to more than 64 KiB. */
  inflate(compressed: Buffer): Headers {
    const raw = this.#first ? skipZlibHeader(compressed) : compressed
    this.#first = false
    const block = inflateBlock(raw, this.#history)
    const history = Buffer.concat([this.#history, block])
    this.#history = history.length > WINDOW_BYTES ? history.subarray(history.length - WINDOW_BYTES) : history
    return parseBlock(block)
  }
}

function inflateBlock(raw: Buffer, dictionary: Buffer): Buffer {
  try {
    return inflateRawSync(raw, { dictionary, finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_BLOCK_BYTES })
  } catch (err) {
    throw invalid(`spdy header block of ${raw.length} bytes must inflate to at most ${MAX_BLOCK_BYTES} bytes: ${String(err)}`)
  }
}

// RFC 1950 section 2.2: CMF, FLG with FDICT set, then the dictionary's Adler-32.
function skipZlibHeader(compressed: Buffer): Buffer {
  if (compressed.length < 6) throw invalid(`first spdy header block has ${compressed.length} bytes, expected a zlib header of 6`)
  const header = compressed.readUInt16BE(0)
  const deflateWithDictionary = (header & 0x0f20) === 0x0820 && header % 31 === 0
  if (!deflateWithDictionary || compressed.readUInt32BE(2) !== headerDictionaryId) {
    throw invalid('first spdy header block must start with a zlib header naming the spdy/3 dictionary')
  }
  return compressed.subarray(6)
}

function parseBlock(block: Buffer): Headers {
  const headers = new Map<string, string>()
  let at = 0
  const number = (): number => {
    if (at + 4 > block.length) throw invalid('spdy header block ends inside a number')
    at += 4
    return block.readUInt32BE(at - 4)
  }
  const field = (): string => {
    const length = number()
    if (length > MAX_FIELD_BYTES) throw invalid(`spdy header field has ${length} bytes, expected at most ${MAX_FIELD_BYTES}`)
    if (at + length > block.length) throw invalid('spdy header block ends inside a field')
    at += length
    return block.toString('latin1', at - length, at)
  }
  const count = number()
  if (count > MAX_HEADERS) throw invalid(`spdy header block has ${count} headers, expected at most ${MAX_HEADERS}`)
  for (let i = 0; i < count; i++) {
    const name = field().toLowerCase()
    const value = field()
    if (name === '' || headers.has(name)) throw invalid('spdy header names must be unique and not empty')
    headers.set(name, value)
  }
  return headers
}

/**
 * Writes the header blocks of one direction as stored deflate blocks: no compressor state to keep, nothing for a CRIME-like
 * attack to measure, and a reply without headers costs 14 bytes.
 */
export class HeaderDeflater {
  #first = true

  deflate(headers: Headers): Buffer {
    const block = serialize(headers)
    // A stored block (RFC 1951 section 3.2.4) has a 16-bit length; ours are far below, the cap is checked all the same.
    if (block.length > 0xffff) throw invalid(`spdy header block has ${block.length} bytes, expected at most 65535`)
    const stored = Buffer.alloc(5)
    stored.writeUInt16LE(block.length, 1)
    stored.writeUInt16LE(block.length ^ 0xffff, 3)
    const parts = this.#first ? [zlibHeader, stored, block, flushMark] : [stored, block, flushMark]
    this.#first = false
    return Buffer.concat(parts)
  }
}

/** An empty stored block, as Z_SYNC_FLUSH ends with: Go's inflater hands out what it has only when it meets one. */
const flushMark = Buffer.from([0, 0, 0, 0xff, 0xff])

const zlibHeader = Buffer.from([0x78, 0xbb, 0, 0, 0, 0])
zlibHeader.writeUInt32BE(adler32(headerDictionary), 2)

function serialize(headers: Headers): Buffer {
  const parts: Buffer[] = []
  const number = (value: number): void => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    parts.push(bytes)
  }
  number(headers.size)
  for (const [name, value] of headers) {
    for (const text of [name.toLowerCase(), value]) {
      number(Buffer.byteLength(text, 'latin1'))
      parts.push(Buffer.from(text, 'latin1'))
    }
  }
  return Buffer.concat(parts)
}
