// `CONTAINER:PATH` or a path of this machine, and what a copy to it is called there.
import { posix } from 'node:path'
import { UsageError } from '../usage-error.ts'

export type Place =
  | { readonly kind: 'container'; readonly container: string; readonly path: string }
  | { readonly kind: 'local'; readonly path: string }

/** A colon makes it a container's, unless a slash comes before: `./a:b` is a file here. @throws UsageError for an empty path. */
export function parsePlace(text: string): Place {
  const colon = text.indexOf(':')
  const slash = text.indexOf('/')
  if (colon < 1 || (slash >= 0 && slash < colon)) {
    if (text === '') throw new UsageError('path ""; expected a file or CONTAINER:PATH')
    return { kind: 'local', path: text }
  }
  const path = text.slice(colon + 1)
  if (path === '' || path.includes('\0')) throw new UsageError(`path "${text}"; expected CONTAINER:PATH`)
  return { kind: 'container', container: text.slice(0, colon), path }
}

/** The directory and the name in it; the root and `.` are the directory itself, called `.`. */
export function splitPath(path: string): { readonly directory: string; readonly name: string } {
  const normal = posix.normalize(path).replace(/(?<=.)\/+$/, '')
  const name = posix.basename(normal)
  if (name === '' || name === '.' || name === '..') return { directory: normal, name: '.' }
  return { directory: posix.dirname(normal), name }
}
