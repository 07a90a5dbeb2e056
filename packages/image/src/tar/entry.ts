// What an archive says about one file, after all headers that speak about it are merged and checked.
import type { Timespec } from '@coracle/host/unpack-syscalls'
import { archiveError, show } from './errors.ts'

export type EntryKind = 'file' | 'hardlink' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo'

export interface TarEntry {
  readonly kind: EntryKind
  /** Relative to the root, cleaned: no empty, `.` or `..` component. Empty for the root itself. Bytes, never text. */
  readonly path: Buffer
  /** Content that follows; 0 for all but files. */
  readonly sizeBytes: number
  /** Permission bits with setuid, setgid, sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Timespec
  /** Symlink: the target, verbatim. Hard link: the target's path, cleaned as `path`. */
  readonly link: Buffer
  readonly major: number
  readonly minor: number
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined
}

const SLASH = 0x2f
const DOT = 0x2e
const maxPathBytes = 4095
const maxComponentBytes = 255

/**
 * Roots a path of an archive: leading slashes go, `.` and empty components go, `..` takes back a component.
 * A relative path that leaves the root is refused; an absolute one cannot leave it (as in chroot(2)).
 */
export function cleanPath(raw: Buffer): Buffer {
  if (raw.length > maxPathBytes + 1) throw archiveError(`a path of ${raw.length} bytes is longer than ${maxPathBytes}`)
  if (isClean(raw)) return raw
  const absolute = raw[0] === SLASH
  const kept: Buffer[] = []
  for (let start = 0; start <= raw.length; ) {
    let end = raw.indexOf(SLASH, start)
    if (end < 0) end = raw.length
    const part = raw.subarray(start, end)
    start = end + 1
    if (part.length === 0 || (part.length === 1 && part[0] === DOT)) continue
    if (part.length > maxComponentBytes) throw tooLong(raw)
    if (part.length === 2 && part[0] === DOT && part[1] === DOT) {
      if (kept.pop() === undefined && !absolute) throw archiveError(`the path ${show(raw)} leaves the root`)
    } else kept.push(part)
  }
  const joined = Buffer.alloc(
    Math.max(
      0,
      kept.reduce((sum, part) => sum + part.length + 1, -1),
    ),
  )
  let at = 0
  for (const part of kept) {
    if (at > 0) joined[at++] = SLASH
    at += part.copy(joined, at)
  }
  return joined
}

const tooLong = (raw: Buffer) => archiveError(`the path ${show(raw)} has a component of more than ${maxComponentBytes} bytes`)

// The usual case, without an allocation: no empty component, none that starts with a dot, none too long.
function isClean(raw: Buffer): boolean {
  let length = 0
  for (let i = 0; i < raw.length; i++) {
    const byte = raw[i]
    if (byte === SLASH) {
      if (length === 0) return false
      length = 0
    } else if (byte === DOT && length === 0) return false
    else if (++length > maxComponentBytes) return false
  }
  return length > 0
}

export const parentOf = (path: Buffer): Buffer => path.subarray(0, Math.max(0, path.lastIndexOf(SLASH)))
export const baseOf = (path: Buffer): Buffer => path.subarray(path.lastIndexOf(SLASH) + 1)
