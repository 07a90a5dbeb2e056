// Trouble of the disk that the store lies on, told apart and by its name: what kubelet shows must say which disk needs whom.
import { statfsSync, utimesSync } from 'node:fs'
import { errnoOf, isErrno } from '@coracle/base/errno'
import { CodedError, codeOf, type ErrorCode } from '@coracle/base/errors'

export type DiskTrouble = 'no space' | 'no inode' | 'quota' | 'read-only' | 'input/output error'

const codes: Readonly<Record<DiskTrouble, ErrorCode>> = {
  'no space': 'resource_exhausted',
  'no inode': 'resource_exhausted',
  quota: 'resource_exhausted',
  'read-only': 'internal',
  'input/output error': 'internal',
}

const words: Readonly<Record<DiskTrouble, string>> = {
  'no space': 'has no space left',
  'no inode': 'has no free inode left: no more files can be made on it, whatever their size',
  quota: 'has no space left within the quota',
  'read-only': 'is read-only: it was mounted so, or the kernel has found an error on it',
  'input/output error': 'has input/output errors',
}

export class DiskError extends CodedError {
  override readonly name = 'DiskError'
  readonly trouble: DiskTrouble
  /** Whether the message says which disk it is. */
  readonly isNamed: boolean
  constructor(trouble: DiskTrouble, message: string, options: ErrorOptions & { readonly isNamed?: boolean } = {}) {
    super(codes[trouble], message, options)
    this.trouble = trouble
    this.isNamed = options.isNamed === true
  }
}

/** What is wrong with a disk, if that is why something failed. `directory`: on that disk, or leading there. */
export function diskTroubleOf(err: unknown, directory: string): DiskTrouble | undefined {
  for (let at = err; at instanceof Error; at = at.cause) {
    if (at instanceof DiskError) return at.trouble
    // Attributes of an archive that do not fit beside a file are no full disk, though the kernel calls it so.
    if (codeOf(at) === 'invalid_argument') return undefined
    const code = errnoOf(at)
    if (code === 'ENOSPC') return hasInodes(directory) ? 'no space' : 'no inode'
    if (code === 'EDQUOT') return 'quota'
    if (code === 'EROFS') return 'read-only'
    // So does syncfs(2) of a file system that has gone read-only.
    if (code === 'EIO') return isReadOnly(directory) ? 'read-only' : 'input/output error'
  }
  return undefined
}

/** The same failure with the disk's name in front, when it was the disk's and does not have it yet. */
export function namingDisk(err: unknown, directory: string): unknown {
  const trouble = diskTroubleOf(err, directory)
  if (trouble === undefined || isNamed(err)) return err
  return new DiskError(trouble, `the disk of ${directory} ${words[trouble]}`, { cause: err, isNamed: true })
}

function isNamed(err: unknown): boolean {
  for (let at = err; at instanceof Error; at = at.cause) if (at instanceof DiskError && at.isNamed) return true
  return false
}

function hasInodes(directory: string): boolean {
  try {
    const { files, ffree } = statfsSync(directory)
    // File systems without a fixed number of inodes tell none.
    return files === 0 || ffree > 0
  } catch {
    return true
  }
}

function isReadOnly(directory: string): boolean {
  try {
    utimesSync(directory, Date.now() / 1000, Date.now() / 1000)
    return false
  } catch (err) {
    return isErrno(err, 'EROFS')
  }
}
