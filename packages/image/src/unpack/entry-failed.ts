import { errnoOf, isErrno } from '@coracle/base/errno'
import { CodedError, failed } from '@coracle/base/errors'
import type { TarEntry } from '../tar/entry.ts'
import { archiveError, show } from '../tar/errors.ts'
import type { FileFailure } from './beside.ts'

const fullCodes = ['ENOSPC', 'EDQUOT']

/** Why an entry could not be unpacked, told apart: no space, what the archive asks for, trouble of our own. */
export const entryFailed = (entry: TarEntry, err: unknown): CodedError => pathFailed(entry.path, entry.kind, err)

export const besideFailed = (err: FileFailure): CodedError => pathFailed(Buffer.from(err.path, 'latin1'), 'file', err)

function pathFailed(path: Buffer, kind: TarEntry['kind'], err: unknown): CodedError {
  if (isErrno(err, ...fullCodes))
    return new CodedError('resource_exhausted', `no space left to unpack ${show(path)}`, { cause: err })
  if (err instanceof CodedError) return failed(`unpack ${kind} ${show(path)}`, err)
  // Wrong paths, loops, too many links: the archive asks for what no file system does. I/O errors are ours.
  if (isErrno(err, 'EIO', 'EROFS', 'EMFILE', 'ENOMEM', 'EACCES'))
    return new CodedError('internal', `unpack ${show(path)}`, { cause: err })
  return archiveError(`unpack ${kind} ${show(path)}: ${errnoOf(err) ?? ''}`, err)
}
