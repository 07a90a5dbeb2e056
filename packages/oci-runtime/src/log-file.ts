// The log is made by us before the monitor opens it: the monitor would follow a symbolic link that a container put there.
import { closeSync, constants, fchmodSync, fstatSync, lstatSync, openSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { isErrno, unlessErrno } from '@coracle/base/errno'
import { invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { makeDirectories } from '@coracle/base/make-directories'

const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants

/** Which file it is: an inode of a device. */
export interface FileIdentity {
  readonly device: bigint
  readonly inode: bigint
}

/**
 * Makes the log with mode 0640, or takes an existing one. Throws `failed_precondition` when the last component is a symbolic link
 * or no regular file, `invalid_argument` when the monitor cannot be told the path (it takes a colon for a separator).
 */
export function prepareLog(path: string): FileIdentity {
  if (!path.startsWith('/') || path.includes(':')) throw invalid(`log path ${quote(path)} must be absolute and without ":"`)
  makeDirectories(dirname(path), 0o755)
  const fd = open(path)
  try {
    const stat = fstatSync(fd, { bigint: true })
    if (!stat.isFile()) throw precondition(`log path ${quote(path)} must be a regular file`)
    fchmodSync(fd, 0o640)
    return { device: stat.dev, inode: stat.ino }
  } finally {
    closeSync(fd)
  }
}

function open(path: string): number {
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o640)
  } catch (err) {
    if (isErrno(err, 'ELOOP')) throw precondition(`log path ${quote(path)} must not be a symbolic link`)
    if (isErrno(err, 'ENXIO', 'EISDIR')) throw precondition(`log path ${quote(path)} must be a regular file`)
    throw err
  }
}

/** The file now at `path`, links not followed; undefined when there is none. */
export function identifyFile(path: string): FileIdentity | undefined {
  const stat = unlessErrno(['ENOENT', 'ENOTDIR'], () => lstatSync(path, { bigint: true }), undefined)
  return stat?.isFile() ? { device: stat.dev, inode: stat.ino } : undefined
}

export const sameFile = (a: FileIdentity | undefined, b: FileIdentity | undefined): boolean =>
  a !== undefined && b !== undefined && a.device === b.device && a.inode === b.inode

/**
 * Makes the file that a reopening monitor opens and renames, with the directory that it is in: a monitor that cannot do so ends, and
 * with it the log of a container that runs on. Throws what would have hit it: `failed_precondition` for a directory in the way, or the
 * kernel's reason.
 */
export function prepareReopen(path: string): void {
  makeDirectories(dirname(path), 0o755)
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat?.isDirectory() === true) throw precondition(`log path ${quote(path)} must be a regular file`)
  clearReopenFile(path)
  closeSync(openSync(`${path}.tmp`, O_WRONLY | O_CREAT | constants.O_EXCL | O_NOFOLLOW, 0o640))
}

/** A reopening monitor writes `PATH.tmp` first, following links: whatever is there goes. */
export function clearReopenFile(path: string): void {
  rmSync(`${path}.tmp`, { force: true, recursive: true })
}
