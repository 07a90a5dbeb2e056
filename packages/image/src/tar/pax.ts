// PAX extended header records (POSIX pax, "%d keyword=value\n"): only those that can change what is extracted are kept.
import type { Timespec } from '@coracle/host/unpack-syscalls'
import { archiveError } from './errors.ts'

export interface PaxRecords {
  path?: Buffer
  linkpath?: Buffer
  sizeBytes?: number
  uid?: number
  gid?: number
  mtime?: Timespec
  xattrs?: Map<string, Buffer>
}

const maxRecords = 10_000
const maxXattrs = 1000
const maxXattrBytes = 65_536
const xattrPrefix = 'SCHILY.xattr.'

/** Throws `invalid_argument` for anything that is not a list of well-formed records. */
export function parsePax(data: Buffer): PaxRecords {
  const records: PaxRecords = {}
  let count = 0
  for (let at = 0; at < data.length; ) {
    if (++count > maxRecords) throw archiveError(`a PAX header has more than ${maxRecords} records`)
    const end = at + recordLength(data, at)
    const digits = data.indexOf(0x20, at)
    const equals = data.indexOf(0x3d, digits)
    if (end > data.length || data[end - 1] !== 0x0a || equals < 0 || equals >= end || equals === digits + 1)
      throw archiveError('a PAX record is malformed')
    apply(records, data.toString('latin1', digits + 1, equals), data.subarray(equals + 1, end - 1))
    at = end
  }
  return records
}

function recordLength(data: Buffer, at: number): number {
  const space = data.indexOf(0x20, at)
  const text = space < 0 || space > at + 8 ? '' : data.toString('latin1', at, space)
  if (!/^[1-9][0-9]*$/.test(text) || Number(text) < text.length + 3) throw archiveError('a PAX record has a bad length')
  return Number(text)
}

function apply(records: PaxRecords, key: string, value: Buffer) {
  if (key.startsWith(xattrPrefix)) return addXattr(records, key.slice(xattrPrefix.length), value)
  // Sparse files need a map of their own to be read: image-spec layer.md asks writers not to use them.
  if (key.startsWith('GNU.sparse.')) throw archiveError('it has sparse files')
  switch (key) {
    case 'path':
      records.path = name(key, value)
      break
    case 'linkpath':
      records.linkpath = name(key, value)
      break
    case 'size':
      records.sizeBytes = whole(key, value)
      break
    case 'uid':
      records.uid = whole(key, value)
      break
    case 'gid':
      records.gid = whole(key, value)
      break
    case 'mtime':
      records.mtime = time(value)
      break
    default:
  }
}

function addXattr(records: PaxRecords, key: string, value: Buffer): void {
  records.xattrs ??= new Map()
  const { xattrs } = records
  if (key === '' || key.length > 255 || key.includes('\0')) throw archiveError('a PAX record has a bad attribute name')
  if (value.length > maxXattrBytes) throw archiveError(`an extended attribute has more than ${maxXattrBytes} bytes`)
  if (xattrs.size >= maxXattrs) throw archiveError(`a file has more than ${maxXattrs} extended attributes`)
  xattrs.set(key, Buffer.from(value))
}

function name(key: string, value: Buffer): Buffer {
  if (value.includes(0)) throw archiveError(`a PAX ${key} contains NUL`)
  if (value.length === 0) throw archiveError(`a PAX ${key} is empty`)
  return Buffer.from(value)
}

function whole(key: string, value: Buffer): number {
  const text = value.toString('latin1')
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw archiveError(`a PAX ${key} is not a whole number from 0 to 2^53-1`)
  return Number(text)
}

function time(value: Buffer): Timespec {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]{0,64}))?$/.exec(value.toString('latin1'))
  if (!match) throw archiveError('a PAX mtime is not a decimal number')
  const seconds = Number(match[2])
  const nanoseconds = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9))
  if (match[1] !== '-') return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}
