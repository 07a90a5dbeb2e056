import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { isErrno } from './errno.ts'

/**
 * `mkdir -p` for paths that somebody else names. That of node:fs (`recursive`) tries for ever where the kernel refuses a name with ENOENT
 * although its parent is there, as in /proc. Throws the kernel's reason; what was made until then stays.
 */
export function makeDirectories(path: string, mode: number): void {
  try {
    makeDirectory(path, mode)
  } catch (err) {
    const parent = dirname(path)
    if (!isErrno(err, 'ENOENT') || parent === path || statSync(parent, { throwIfNoEntry: false }) !== undefined) throw err
    makeDirectories(parent, mode)
    makeDirectory(path, mode)
  }
}

function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, mode)
  } catch (err) {
    if (!isErrno(err, 'EEXIST') || statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw err
  }
}
