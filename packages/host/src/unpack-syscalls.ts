// The system calls that unpacking a layer needs and Node lacks. Synchronous: they act on the calling thread's own root and directory.
import { createRequire } from 'node:module'
import { getSystemErrorMap } from 'node:util'

type Koffi = typeof import('koffi').default
type Call = (...args: unknown[]) => number

const require = createRequire(import.meta.url)

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const CLONE_FS = 0x200
const ENODATA = 61
const S_IFCHR = 0o020000
const S_IFBLK = 0o060000
const S_IFIFO = 0o010000
const SYNC_FILE_RANGE_WRITE = 2

/** A failed call in the shape of Node's own errors: `code` is the errno's name. */
class UnpackCallError extends Error {
  override readonly name = 'UnpackCallError'
  readonly code: string
  constructor(call: string, number: number) {
    const [code, text] = getSystemErrorMap().get(-number) ?? [`E${number}`, 'unknown error']
    super(`${code}: ${text}, ${call}`)
    this.code = code
  }
}

/** A point in time as timespec has it. */
export interface Timespec {
  readonly seconds: number
  readonly nanoseconds: number
}

export interface UnpackSyscalls {
  /**
   * Gives the calling thread a root and working directory of its own (unshare(2) CLONE_FS) and enters the directory `fd` as root.
   * Threads that exist keep theirs.
   */
  confine(fd: number): void
  /** Makes the directory `fd` the root and working directory: fchdir(2), chroot(2) "." — after `confine` only. */
  enter(fd: number): void
  /** lsetxattr(2). */
  setXattr(path: Uint8Array, name: string, value: Uint8Array): void
  /** lgetxattr(2): one of at most 4 KiB; undefined when it is not there. */
  xattr(path: Uint8Array, name: string): Buffer | undefined
  /** llistxattr(2) and lgetxattr(2): all extended attributes. */
  xattrs(path: Uint8Array): Map<string, Buffer>
  /** mknod(2). `kind` decides; `mode` are permission bits. Device numbers as in makedev(3). */
  makeNode(path: Uint8Array, node: { kind: 'character' | 'block' | 'fifo'; mode: number; major: number; minor: number }): void
  /** utimensat(2) on the path itself, a link is not followed; access time is set alike. */
  setTime(path: Uint8Array, time: Timespec): void
  /** futimens(3). */
  setTimeOf(fd: number, time: Timespec): void
  /** sync_file_range(2): starts writing the file's pages to disk and does not wait. Failure is of no consequence. */
  startWriteback(fd: number): void
}

/** makedev(3) of glibc. */
export const makeDevice = (major: number, minor: number): bigint => {
  const [a, b] = [BigInt(major), BigInt(minor)]
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn)
}

/** Loads the C library. Everything is declared at once: after `confine` no file of this machine can be opened any more. */
export function loadUnpackSyscalls(): UnpackSyscalls {
  const koffi = require('koffi') as Koffi
  const library = koffi.load('libc.so.6')
  const declare = (prototype: string): Call => library.func(prototype) as Call
  const unshare = declare('int unshare(int flags)')
  const chroot = declare('int chroot(const char *path)')
  const fchdir = declare('int fchdir(int fd)')
  const lsetxattr = declare('int lsetxattr(const void *path, const char *name, const void *value, size_t size, int flags)')
  const llistxattr = declare('long llistxattr(const void *path, void *list, size_t size)')
  const lgetxattr = declare('long lgetxattr(const void *path, const char *name, void *value, size_t size)')
  const mknod = declare('int mknod(const void *path, unsigned int mode, uint64_t device)')
  const utimensat = declare('int utimensat(int directory, const void *path, const void *times, int flags)')
  const futimens = declare('int futimens(int fd, const void *times)')
  const syncFileRange = declare('int sync_file_range(int fd, int64_t offset, int64_t bytes, unsigned int flags)')

  const check = (call: string, result: number): number => {
    if (result < 0) throw new UnpackCallError(call, koffi.errno())
    return result
  }
  const small = Buffer.alloc(4096)
  const times = Buffer.from(new ArrayBuffer(32))
  const words = new BigInt64Array(times.buffer, times.byteOffset, 4)
  let filled: Timespec = { seconds: 0, nanoseconds: 0 }
  const fill = (time: Timespec) => {
    // Files of one layer mostly share their time.
    if (time.seconds === filled.seconds && time.nanoseconds === filled.nanoseconds) return times
    filled = time
    words[0] = words[2] = BigInt(time.seconds)
    words[1] = words[3] = BigInt(time.nanoseconds)
    return times
  }
  const enter = (fd: number) => {
    check('fchdir', fchdir(fd))
    check('chroot', chroot('.'))
  }
  // A path for C: ended by NUL. No caller's path contains one.
  const c = (path: Uint8Array): Buffer => Buffer.concat([path, nul])

  return {
    confine(fd) {
      check('unshare', unshare(CLONE_FS))
      enter(fd)
    },
    enter,
    setXattr: (path, name, value) => void check('lsetxattr', lsetxattr(c(path), name, value, value.length, 0)),
    xattr(path, name) {
      const size = Number(lgetxattr(c(path), name, small, small.length))
      if (size < 0 && koffi.errno() === ENODATA) return undefined
      return Buffer.from(small.subarray(0, check('lgetxattr', size)))
    },
    xattrs(path) {
      const list = Buffer.alloc(65_536)
      const length = check('llistxattr', Number(llistxattr(c(path), list, list.length)))
      const names = list.subarray(0, length).toString('latin1').split('\0').filter(Boolean)
      return new Map(
        names.map((name) => {
          const value = Buffer.alloc(65_536)
          const size = check('lgetxattr', Number(lgetxattr(c(path), name, value, value.length)))
          return [name, value.subarray(0, size)]
        }),
      )
    },
    makeNode(path, { kind, mode, major, minor }) {
      const type = kind === 'character' ? S_IFCHR : kind === 'block' ? S_IFBLK : S_IFIFO
      check('mknod', mknod(c(path), type | mode, kind === 'fifo' ? 0n : makeDevice(major, minor)))
    },
    setTime: (path, time) => void check('utimensat', utimensat(AT_FDCWD, c(path), fill(time), AT_SYMLINK_NOFOLLOW)),
    setTimeOf: (fd, time) => void check('futimens', futimens(fd, fill(time))),
    startWriteback: (fd) => void syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE),
  }
}

const nul = Buffer.alloc(1)
