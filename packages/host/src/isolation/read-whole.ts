import { readFileSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'

/** A file of /proc, however long. Empty when the process is gone, or a zombie (EINVAL). */
export const readWhole = (path: string): string =>
  unlessErrno(['ENOENT', 'ESRCH', 'EINVAL'], () => readFileSync(path, 'utf8'), '')
