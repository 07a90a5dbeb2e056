// Paths below a root that somebody else wrote: resolved by the kernel as if that root were `/` (openat2(2), RESOLVE_IN_ROOT).
import { chmodSync, closeSync, constants, fstatSync, mkdirSync, openSync, readSync, type Stats } from 'node:fs'
import { constants as os } from 'node:os'
import { posix } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError, invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { FileType } from './host.ts'
import { errno, libc, SystemCallError } from './libc.ts'

export const O_PATH = 0o10000000
export const O_CLOEXEC = 0o2000000
export const RESOLVE = { noXdev: 1, noMagicLinks: 2, noSymlinks: 4, beneath: 8, inRoot: 16, cached: 32 } as const

/** struct open_how, for `libc.openat2`. */
export function openHow(flags: number, resolve: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(flags | O_CLOEXEC), 0n, BigInt(resolve)]).buffer)
}

export function readInRoot(root: string, path: string, maxBytes: number): Buffer | undefined {
  using place = openInRoot(root, path, 0)
  if (place === undefined) return undefined
  const stat = fstatSync(place.fd)
  if (!stat.isFile()) throw invalid(`${quote(path)} must be a regular file, it is a ${typeOf(stat)}`)
  if (stat.size > maxBytes) throw tooLarge(path, maxBytes)
  // The type is known now: a device would have been opened with all that this means to it.
  const fd = openSync(`/proc/self/fd/${place.fd}`, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    return readAtMost(fd, path, maxBytes)
  } finally {
    closeSync(fd)
  }
}

function readAtMost(fd: number, path: string, maxBytes: number): Buffer {
  const chunks: Buffer[] = []
  for (let total = 0; ; ) {
    const chunk = Buffer.allocUnsafe(64 * 1024)
    const bytes = readSync(fd, chunk)
    if (bytes === 0) return Buffer.concat(chunks)
    total += bytes
    // It may have grown since.
    if (total > maxBytes) throw tooLarge(path, maxBytes)
    chunks.push(chunk.subarray(0, bytes))
  }
}

const tooLarge = (path: string, maxBytes: number): CodedError => invalid(`${quote(path)} must be at most ${maxBytes} bytes`)

export function typeInRoot(root: string, path: string): FileType | undefined {
  using place = openInRoot(root, path, 0)
  return place === undefined ? undefined : typeOf(fstatSync(place.fd))
}

export function makeDirectoryInRoot(root: string, path: string, mode: number): void {
  const parts = posix
    .normalize(`/${path}`)
    .split('/')
    .filter((part) => part !== '')
  using stack = new DisposableStack()
  let parent = openSync(root, O_PATH | constants.O_DIRECTORY)
  stack.defer(() => closeSync(parent))
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join('/')
    const name = parts[depth - 1] ?? ''
    const next = openInRoot(root, prefix, constants.O_DIRECTORY) ?? makeOne({ root, prefix, parent, name, mode })
    closeSync(parent)
    parent = next.fd
  }
}

interface NewDirectory {
  readonly root: string
  readonly prefix: string
  /** The opened directory that `prefix` without its last part means. */
  readonly parent: number
  readonly name: string
  readonly mode: number
}

function makeOne({ root, prefix, parent, name, mode }: NewDirectory): Place {
  try {
    // The last component is not followed by mkdir(2): a dangling link is EEXIST.
    mkdirSync(`/proc/self/fd/${parent}/${name}`, mode)
  } catch (err) {
    if (!isErrno(err, 'EEXIST', 'ENOTDIR')) throw err
  }
  const made = openInRoot(root, prefix, constants.O_DIRECTORY | constants.O_NOFOLLOW)
  if (made === undefined) throw precondition(`${quote(prefix)} must be a directory or absent, it leads nowhere`)
  chmodSync(`/proc/self/fd/${made.fd}`, mode)
  return made
}

export interface Place extends Disposable {
  /** Opened with O_PATH. */
  readonly fd: number
}

/** The place a path below `root` means, links followed. Undefined when absent. Throws `failed_precondition` for what is no directory if one was asked for. */
export function openInRoot(root: string, path: string, flags: number): Place | undefined {
  if (path.includes('\0')) throw invalid(`path ${quote(path)} must not contain NUL`)
  const base = openSync(root, O_PATH | constants.O_DIRECTORY)
  try {
    const fd = resolve(base, path === '' ? '.' : path, flags)
    return fd === undefined ? undefined : { fd, [Symbol.dispose]: () => closeSync(fd) }
  } finally {
    closeSync(base)
  }
}

function resolve(base: number, path: string, flags: number): number | undefined {
  const how = openHow(O_PATH | flags, RESOLVE.inRoot | RESOLVE.noMagicLinks)
  // EAGAIN: something was renamed meanwhile and the kernel cannot be sure that `..` stayed inside.
  for (let attempt = 0; ; attempt++) {
    const fd = libc.openat2(base, path, how)
    if (fd >= 0) return fd
    const number = errno()
    if (number === os.errno.EAGAIN && attempt < 100) continue
    if (number === os.errno.ENOENT) return undefined
    if (number === os.errno.ENOTDIR) {
      if ((flags & constants.O_DIRECTORY) === 0) return undefined
      throw precondition(`${quote(path)} must be a directory`)
    }
    const code = number === os.errno.ELOOP || number === os.errno.ENAMETOOLONG ? 'invalid_argument' : 'internal'
    throw new CodedError(code, `resolve ${quote(path)}`, { cause: new SystemCallError(number) })
  }
}

export function typeOf(stat: Stats): FileType {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isCharacterDevice()) return 'character'
  if (stat.isBlockDevice()) return 'block'
  return stat.isFIFO() ? 'fifo' : 'socket'
}
