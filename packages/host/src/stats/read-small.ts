import { closeSync, openSync, readSync } from 'node:fs'
import { unlessErrno } from '@coracle/base/errno'

const buffer = Buffer.allocUnsafe(64 * 1024)

// ENODEV: the cgroup was removed after it was opened. EOPNOTSUPP: the accounting is off. ESRCH: the process ended.
export const absent = ['ENOENT', 'ENODEV', 'ENOTDIR', 'EOPNOTSUPP', 'ENOTSUP', 'ESRCH', 'EACCES', 'EINVAL']

/** The text of a small file. Undefined when it is absent or has nothing to say. */
export type ReadFile = (path: string) => string | undefined

/** A file of the kernel, at most 64 KiB, in a third of the time of readFileSync. Undefined when it is absent or has nothing to say. */
export function readSmall(path: string): string | undefined {
  return unlessErrno(absent, () => read(path), undefined)
}

function read(path: string): string {
  const fd = openSync(path, 'r')
  try {
    let length = 0
    // A file of the kernel may be told in pieces.
    for (let more = -1; more !== 0 && length < buffer.length; length += more) {
      more = readSync(fd, buffer, length, buffer.length - length, null)
      if (more < 2048 && length === 0) return buffer.toString('latin1', 0, more)
    }
    return buffer.toString('latin1', 0, length)
  } finally {
    closeSync(fd)
  }
}

/** The number that a file holds, Infinity for `max`. Undefined when there is none. */
export function readNumber(path: string, readFile: ReadFile = readSmall): number | undefined {
  const text = readFile(path)
  if (text === undefined || text === '') return undefined
  if (text.startsWith('max')) return Number.POSITIVE_INFINITY
  const value = Number.parseInt(text, 10)
  return Number.isNaN(value) ? undefined : value
}

/** Lines of `name number` as a function from name to number, 0 for a name that is not there. */
export function flatKeyed(text: string): (name: string) => number {
  const lines = `\n${text}`
  return (name) => {
    const at = lines.indexOf(`\n${name} `)
    return at < 0 ? 0 : Number.parseInt(lines.slice(at + name.length + 2, at + name.length + 24), 10) || 0
  }
}
