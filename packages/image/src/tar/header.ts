// One 512-byte tar header (POSIX ustar, GNU and v7), numbers and checksum read strictly.
import { archiveError } from './errors.ts'

export const BLOCK_BYTES = 512

export interface RawHeader {
  readonly name: Buffer
  readonly link: Buffer
  readonly type: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  /** Seconds after 1970; may be negative. */
  readonly mtime: number
  readonly major: number
  readonly minor: number
}

/** Undefined for a block of zeros. Throws `invalid_argument` for a wrong checksum or number. The result does not refer to `block`. */
export function parseHeader(block: Buffer): RawHeader | undefined {
  const sums = checksums(block)
  if (sums.unsigned === 8 * 0x20 && block.every((byte) => byte === 0)) return undefined
  const stored = octal(block, 148, 8, 'checksum')
  if (stored !== sums.unsigned && stored !== sums.signed)
    throw archiveError(`a header has the checksum ${stored}, its bytes sum up to ${sums.unsigned}`)
  // Only POSIX ustar has a prefix; GNU uses the same bytes for other things ("ustar  \0").
  const posix = block.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = posix ? text(block, 345, 155) : empty
  const name = text(block, 0, 100)
  return {
    name: prefix.length === 0 ? Buffer.from(name) : Buffer.concat([prefix, slash, name]),
    link: Buffer.from(text(block, 157, 100)),
    type: block[156] ?? 0,
    mode: number(block, 100, 8, 'mode'),
    uid: number(block, 108, 8, 'uid'),
    gid: number(block, 116, 8, 'gid'),
    sizeBytes: number(block, 124, 12, 'size'),
    mtime: number(block, 136, 12, 'mtime', true),
    // v7 has no device fields.
    major: isDevice(block[156]) ? number(block, 329, 8, 'device major') : 0,
    minor: isDevice(block[156]) ? number(block, 337, 8, 'device minor') : 0,
  }
}

const empty = Buffer.alloc(0)
const slash = Buffer.from('/')
const isDevice = (type: number | undefined): boolean => type === 0x33 || type === 0x34

// The checksum field itself counts as spaces. Old writers summed signed bytes.
function checksums(block: Buffer): { unsigned: number; signed: number } {
  let unsigned = 8 * 0x20
  let high = 0
  for (let i = 0; i < BLOCK_BYTES; i++) {
    if (i === 148) i = 156
    const byte = block[i] as number
    unsigned += byte
    if (byte > 127) high++
  }
  return { unsigned, signed: unsigned - 256 * high }
}

function text(block: Buffer, start: number, length: number): Buffer {
  const end = block.indexOf(0, start)
  return block.subarray(start, end < 0 || end > start + length ? start + length : end)
}

function number(block: Buffer, start: number, length: number, field: string, mayBeNegative = false): number {
  return (block[start] as number) & 0x80
    ? base256(block, start, length, field, mayBeNegative)
    : octal(block, start, length, field)
}

// GNU: the top bit marks a big-endian two's complement number in the remaining bits.
function base256(block: Buffer, start: number, length: number, field: string, mayBeNegative: boolean): number {
  const negative = ((block[start] as number) & 0x40) !== 0
  let value = BigInt((block[start] as number) & 0x7f)
  for (let i = start + 1; i < start + length; i++) value = (value << 8n) | BigInt(block[i] as number)
  if (negative) value -= 1n << BigInt(8 * length - 1)
  const result = Number(value)
  if (!Number.isSafeInteger(result)) throw archiveError(`a header's ${field} is out of range`)
  if (negative && !mayBeNegative) throw archiveError(`a header's ${field} is negative`)
  return result
}

// Leading spaces, digits, then the field's end, NUL or a space, as GNU tar and its kin write it. Nothing at all is 0.
function octal(block: Buffer, start: number, length: number, field: string): number {
  let i = start
  const end = start + length
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++
  let value = 0
  for (; i < end; i++) {
    const byte = block[i] as number
    if (byte === 0x20 || byte === 0) break
    if (byte < 0x30 || byte > 0x37) throw archiveError(`a header's ${field} is not an octal number`)
    value = value * 8 + (byte - 0x30)
  }
  return value
}
