// Paths as text. Nothing here looks at a file system: links are the runtime's and the host room's business.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'

/** `path` without empty, `.` and `..` components; always absolute. */
export function cleanPath(path: string): string {
  const kept: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') kept.pop()
    else kept.push(part)
  }
  return `/${kept.join('/')}`
}

/** Whether `path` is `directory` or below it. Both clean. */
export const isWithin = (path: string, directory: string): boolean =>
  directory === '/' || path === directory || path.startsWith(`${directory}/`)

/** Number of components; `/` has none. */
export const depthOf = (path: string): number => (path === '/' ? 0 : path.split('/').length - 1)

/** Throws `invalid_argument` unless `path` is absolute and free of NUL; returns it clean. */
export function parseAbsolute(field: string, path: string): string {
  if (!path.startsWith('/')) throw invalid(`${field} ${quote(path)} must be an absolute path`)
  checkBytes(field, path)
  return cleanPath(path)
}

/** Throws `invalid_argument` when `text` holds a NUL or is longer than PATH_MAX: it would be cut on its way to the kernel. */
export function checkBytes(field: string, text: string): void {
  if (text.includes('\0')) throw invalid(`${field} ${quote(text)} must not contain NUL`)
  if (Buffer.byteLength(text) > 4095) throw invalid(`${field} ${quote(text)} is longer than 4095 bytes`)
}
