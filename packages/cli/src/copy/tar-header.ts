// One 512-byte header of a tar archive (POSIX.1-2017 pax, ustar layout; base-256 numbers as GNU tar and busybox write them).
import { invalid } from '@coracle/base/errors'

export const BLOCK_BYTES = 512

export interface TarHeader {
  readonly name: string
  readonly mode: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
  /** The type flag: `0` file, `1` hard link, `2` symbolic link, `5` directory, … */
  readonly type: string
  readonly link: string
}

export const paddingOf = (sizeBytes: number): number => (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES

/** Throws `invalid_argument` for what is no header. */
export function parseHeader(block: Buffer): TarHeader {
  if (checksum(block) !== number(block, 148, 8)) throw invalid('the archive is damaged: a header has the wrong checksum')
  const prefix = block.toString('latin1', 257, 262) === 'ustar' && block[263] !== 0x20 ? text(block, 345, 155) : ''
  const name = text(block, 0, 100)
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8),
    sizeBytes: number(block, 124, 12),
    mtimeSeconds: number(block, 136, 12),
    // Archives older than POSIX say nothing for a file.
    type: block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0),
    link: text(block, 157, 100),
  }
}

/** The entry's header, behind a pax header when a field does not fit. Owner and group are root, as whoever unpacks it decides. */
export function formatHeader(header: TarHeader): Buffer {
  const records: string[] = []
  if (!fits(header.name)) records.push(paxRecord('path', header.name))
  if (!fits(header.link)) records.push(paxRecord('linkpath', header.link))
  if (header.sizeBytes > 0o77777777777) records.push(paxRecord('size', String(header.sizeBytes)))
  const own = headerBlock({ ...header, sizeBytes: header.sizeBytes > 0o77777777777 ? 0 : header.sizeBytes })
  if (records.length === 0) return own
  const body = Buffer.from(records.join(''))
  const pax = headerBlock({ ...header, name: 'pax', link: '', type: 'x', sizeBytes: body.length, mode: 0o644 })
  return Buffer.concat([pax, body, Buffer.alloc(paddingOf(body.length)), own])
}

const fits = (value: string): boolean => Buffer.byteLength(value) <= 100

function headerBlock(header: TarHeader): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(header.name, 0, 100)
  writeOctal(block, 100, 8, header.mode & 0o7777)
  writeOctal(block, 108, 8, 0)
  writeOctal(block, 116, 8, 0)
  writeOctal(block, 124, 12, header.sizeBytes)
  writeOctal(block, 136, 12, Math.min(Math.max(0, Math.floor(header.mtimeSeconds)), 0o77777777777))
  block.write(header.type, 156, 1)
  block.write(header.link, 157, 100)
  block.write('ustar\x0000', 257, 'latin1')
  block.write('        ', 148)
  writeOctal(block, 148, 7, checksum(block))
  return block
}

function writeOctal(block: Buffer, at: number, length: number, value: number): void {
  block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1')
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: string): string {
  const bytes = Buffer.byteLength(` ${key}=${value}\n`)
  const digits = String(bytes + String(bytes).length).length
  return `${bytes + digits} ${key}=${value}\n`
}

/** Throws `invalid_argument` for records that do not add up. */
export function parsePax(body: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at)
    const length = space < 0 ? Number.NaN : Number(body.toString('latin1', at, space))
    const end = at + length
    const equals = body.indexOf(0x3d, space)
    if (!Number.isSafeInteger(length) || end > body.length || equals < 0 || equals >= end || body[end - 1] !== 0x0a)
      throw invalid('the archive is damaged: a pax record has the wrong length')
    records.set(body.toString('utf8', space + 1, equals), body.toString('utf8', equals + 1, end - 1))
    at = end
  }
  return records
}

function checksum(block: Buffer): number {
  let sum = 0
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte
  return sum
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? length : end)
}

function number(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0
  if ((first & 0x80) !== 0) {
    if (first !== 0x80) throw invalid('the archive is damaged: a number is negative or too large')
    const value = Number(block.subarray(at + 1, at + length).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n))
    if (!Number.isSafeInteger(value)) throw invalid('the archive is damaged: a number is too large')
    return value
  }
  const digits = text(block, at, length).trim()
  if (!/^[0-7]*$/.test(digits)) throw invalid('the archive is damaged: a number is not octal')
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}
