// What is written down of a layer while it is unpacked: one record for each entry of the archive, in its order. Played back by the
// rules of extraction (expected.ts) it tells what the directory must hold. A file of zstd frames; numbers little-endian.
import type { EntryKind, TarEntry } from '../tar/entry.ts'

/** An entry as far as it can be checked later. */
export interface TreeRecord {
  readonly kind: EntryKind
  /** Cleaned, as in `TarEntry`. */
  readonly path: Buffer
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Whole seconds after 1970, rounded down. */
  readonly mtime: number
  readonly sizeBytes: number
  /** CRC-32 of the content: it is to find what a disk has lost, not what an attacker has changed. */
  readonly crc: number
  readonly major: number
  readonly minor: number
  readonly link: Buffer
  /** CRC-32 of the value of security.capability; 0 for none. */
  readonly capability: number
}

const kinds: readonly EntryKind[] = ['file', 'hardlink', 'symlink', 'character', 'block', 'directory', 'fifo']
const codes: ReadonlyMap<EntryKind, number> = new Map(kinds.map((kind, code) => [kind, code]))
const fixedBytes = 47
/** The most that one record takes: two paths of 4096 bytes. */
export const maxRecordBytes = fixedBytes + 2 * 4096

/** Writes the record at `at`; returns where the next one goes. */
export function writeRecord(
  out: Buffer,
  at: number,
  entry: TarEntry,
  { crc, capability }: { crc: number; capability: number },
): number {
  out[at] = codes.get(entry.kind) ?? 0
  out.writeUInt16LE(entry.path.length, at + 1)
  out.writeUInt16LE(entry.link.length, at + 3)
  out.writeUInt16LE(entry.mode, at + 5)
  out.writeUInt32LE(entry.uid, at + 7)
  out.writeUInt32LE(entry.gid, at + 11)
  out.writeDoubleLE(entry.mtime.seconds, at + 15)
  out.writeDoubleLE(entry.sizeBytes, at + 23)
  out.writeUInt32LE(crc, at + 31)
  // 0 to 2^20 in practice; what is larger does not become a device anyway.
  out.writeUInt32LE(entry.major >>> 0, at + 35)
  out.writeUInt32LE(entry.minor >>> 0, at + 39)
  out.writeUInt32LE(capability, at + 43)
  entry.path.copy(out, at + fixedBytes)
  entry.link.copy(out, at + fixedBytes + entry.path.length)
  return at + fixedBytes + entry.path.length + entry.link.length
}

/** Throws RangeError where the bytes are no records. */
export function* readRecords(bytes: Buffer): Generator<TreeRecord> {
  for (let at = 0; at < bytes.length; ) {
    const kind = kinds[bytes[at] ?? kinds.length]
    if (kind === undefined) throw new RangeError('a record is of no known kind')
    const pathEnd = at + fixedBytes + bytes.readUInt16LE(at + 1)
    const end = pathEnd + bytes.readUInt16LE(at + 3)
    if (end > bytes.length) throw new RangeError('a record is cut short')
    yield {
      kind,
      path: bytes.subarray(at + fixedBytes, pathEnd),
      mode: bytes.readUInt16LE(at + 5),
      uid: bytes.readUInt32LE(at + 7),
      gid: bytes.readUInt32LE(at + 11),
      mtime: bytes.readDoubleLE(at + 15),
      sizeBytes: bytes.readDoubleLE(at + 23),
      crc: bytes.readUInt32LE(at + 31),
      major: bytes.readUInt32LE(at + 35),
      minor: bytes.readUInt32LE(at + 39),
      capability: bytes.readUInt32LE(at + 43),
      link: bytes.subarray(pathEnd, end),
    }
    at = end
  }
}
