// What directories get last: their times, because what is put into them changes these, and their setgid bit, because it would hand
// their group on to what is put into them.
import { chmodSync, lstatSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import type { UnpackSyscalls } from '@coracle/host/unpack-syscalls'
import type { TarEntry } from '../tar/entry.ts'

const setgid = 0o2000

export class LateMetadata {
  readonly #directories: { path: Buffer; inode: number; mode: number; mtime: TarEntry['mtime'] }[] = []

  /** Gives a directory its mode but for what comes last. */
  note(path: Buffer, { mode, mtime }: Pick<TarEntry, 'mode' | 'mtime'>): void {
    chmodSync(path, mode & ~setgid)
    this.#directories.push({ path, inode: lstatSync(path).ino, mode, mtime })
  }

  apply(sys: Pick<UnpackSyscalls, 'setTime'>): void {
    const groups = new Set<number>()
    for (const { path, inode, mode, mtime } of this.#directories) {
      // It or one of its parents may have been replaced by a later entry.
      if (inodeAt(path) !== inode) continue
      if (mode & setgid) groups.add(inode)
      // A later entry may have taken it away again.
      if (groups.has(inode)) chmodSync(path, mode)
      sys.setTime(path, mtime)
    }
  }
}

/** Of a directory. Undefined where none is, also because a parent is none any more. */
function inodeAt(path: Buffer): number | undefined {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    return stat?.isDirectory() ? stat.ino : undefined
  } catch (err) {
    if (isErrno(err, 'ENOTDIR', 'ELOOP')) return undefined
    throw err
  }
}
