// rm -r that cannot be led out of its tree: every step starts at an open directory, no link is followed, no mount entered.
import { closeSync, constants, fstatSync, openSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { constants as os } from 'node:os'
import { isErrno } from '@coracle/base/errno'
import { CodedError, failed } from '@coracle/base/errors'
import { O_CLOEXEC, openHow, RESOLVE } from './in-root.ts'
import { errno, libc, SystemCallError } from './libc.ts'
import { AT, statx } from './statx.ts'

const sliceMs = 5
// Somebody who keeps making files is given up on.
const maxRounds = 20
// Deeper trees close the directories above and find them again by `..`.
const maxOpen = 128

const directoryHow = openHow(constants.O_RDONLY | constants.O_DIRECTORY, RESOLVE.noXdev | RESOLVE.noSymlinks | RESOLVE.beneath)
const parentHow = openHow(constants.O_RDONLY | constants.O_DIRECTORY, RESOLVE.noXdev | RESOLVE.noSymlinks)

/** Removes a file or a tree in slices of some milliseconds. Absent: succeeds. Throws `failed_precondition` at a mount. */
export async function removeTree(path: string): Promise<void> {
  const fd = openTop(path)
  if (fd === undefined) return
  using walk = new Walk(path, fd)
  for (;;) {
    const until = performance.now() + sliceMs
    while (performance.now() < until) if (walk.step()) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function openTop(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_CLOEXEC)
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined
    if (!isErrno(err, 'ENOTDIR', 'ELOOP')) throw failed(`remove ${path}`, err)
  }
  try {
    unlinkSync(path)
  } catch (err) {
    if (isErrno(err, 'EBUSY')) throw mountFound(path)
    if (!isErrno(err, 'ENOENT')) throw failed(`remove ${path}`, err)
  }
  return undefined
}

const mountFound = (path: string): CodedError =>
  new CodedError('failed_precondition', `${path} must not be removed: something is mounted there`)

interface Level {
  /** -1: closed for now. */
  fd: number
  readonly name: Buffer
  readonly dev: number
  readonly ino: number
  names: Buffer[]
  rounds: number
}

class Walk implements Disposable {
  readonly #path: string
  readonly #levels: Level[] = []

  constructor(path: string, fd: number) {
    this.#path = path
    if (statx('', AT.emptyPath, fd)?.isMountRoot) {
      closeSync(fd)
      throw mountFound(path)
    }
    this.#enter(fd, Buffer.from('\0'))
  }

  /** Does a handful of removals. True when all is gone. */
  step(): boolean {
    const level = this.#levels.at(-1)
    if (level === undefined) return true
    for (let i = 0; i < 16; i++) {
      const name = level.names.pop()
      if (name === undefined) {
        this.#leave(level)
        break
      }
      if (this.#removeOrEnter(level, name)) break
    }
    return this.#levels.length === 0
  }

  // True when it was a directory, which is the current one now.
  #removeOrEnter(level: Level, name: Buffer): boolean {
    if (libc.unlinkat(level.fd, name, 0) === 0) return false
    const number = errno()
    if (number === os.errno.ENOENT) return false
    if (number !== os.errno.EISDIR) throw this.#failure(name, number)
    // Most directories of a tree are not empty, but those that are cost one call less.
    if (libc.unlinkat(level.fd, name, AT.removeDir) === 0) return false
    const fd = libc.openat2(level.fd, name, directoryHow)
    if (fd >= 0) {
      this.#enter(fd, name)
      return true
    }
    const reason = errno()
    // Replaced meanwhile: the next round meets it again.
    if (reason === os.errno.ENOENT || reason === os.errno.ENOTDIR || reason === os.errno.ELOOP) return false
    throw this.#failure(name, reason)
  }

  #enter(fd: number, name: Buffer): void {
    const { dev, ino } = fstatSync(fd)
    this.#levels.push({ fd, name, dev, ino, names: list(fd), rounds: 0 })
    const above = this.#levels.at(-1 - maxOpen)
    if (above !== undefined && above.fd >= 0) {
      closeSync(above.fd)
      above.fd = -1
    }
  }

  #leave(level: Level): void {
    const parent = this.#levels.at(-2)
    if (parent === undefined) {
      this.#removeTop(level)
      return
    }
    if (parent.fd < 0) parent.fd = this.#reopen(parent, level)
    if (libc.unlinkat(parent.fd, level.name, AT.removeDir) !== 0) {
      const number = errno()
      if (number === os.errno.ENOTEMPTY && level.rounds++ < maxRounds) {
        level.names = list(level.fd)
        return
      }
      // ENOENT, ENOTDIR: renamed or replaced meanwhile.
      if (number !== os.errno.ENOENT && number !== os.errno.ENOTDIR) throw this.#failure(level.name, number)
    }
    this.#pop(level)
  }

  #removeTop(level: Level): void {
    try {
      rmdirSync(this.#path)
    } catch (err) {
      if (isErrno(err, 'ENOTEMPTY') && level.rounds++ < maxRounds) {
        level.names = list(level.fd)
        return
      }
      if (isErrno(err, 'EBUSY')) throw mountFound(this.#path)
      if (!isErrno(err, 'ENOENT')) throw failed(`remove ${this.#path}`, err)
    }
    this.#pop(level)
  }

  #reopen(parent: Level, child: Level): number {
    const fd = libc.openat2(child.fd, Buffer.from('..\0'), parentHow)
    if (fd < 0) throw this.#failure(child.name, errno())
    const { dev, ino } = fstatSync(fd)
    if (dev === parent.dev && ino === parent.ino) return fd
    closeSync(fd)
    throw new CodedError('aborted', `remove ${this.#path}: a directory was moved away meanwhile`)
  }

  #pop(level: Level): void {
    closeSync(level.fd)
    this.#levels.pop()
  }

  #failure(name: Buffer, number: number): CodedError {
    const names = this.#levels.slice(1).map((level) => level.name)
    const where = [...names, name].slice(-20).map((part) => part.subarray(0, -1).toString())
    const path = [this.#path, ...(names.length >= 20 ? ['…'] : []), ...where].join('/')
    if (number === os.errno.EXDEV || number === os.errno.EBUSY) return mountFound(path)
    return new CodedError('internal', `remove ${path}`, { cause: new SystemCallError(number) })
  }

  [Symbol.dispose](): void {
    for (const level of this.#levels.splice(0)) if (level.fd >= 0) closeSync(level.fd)
  }
}

// Names are bytes, not text; with the NUL that system calls want.
function list(fd: number): Buffer[] {
  const end = Buffer.from('\0')
  return readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).map((name) => Buffer.concat([name, end]))
}
