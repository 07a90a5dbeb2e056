// Read-only stores of images, in the layout of our own: their layers are used where they lie. Nothing is ever written there; their
// index is read from a copy, because SQLite wants to write beside a database that it reads.
import { createHash } from 'node:crypto'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { readDatabase } from './database.ts'
import { ImageIndex } from './index.ts'

const log = logger('image')

export interface AdditionalStore {
  readonly root: string
  readonly index: ImageIndex
}

/**
 * Reads the indexes of the stores below `roots`. One that cannot be read is left out, with a line in the log: a node does without
 * images that it can pull. Must not be in use by a daemon of its own.
 */
export function readAdditionalStores(roots: readonly string[], cacheDirectory: string): readonly AdditionalStore[] {
  return roots.flatMap((root) => {
    try {
      return [{ root, index: readIndex(root, cacheDirectory) }]
    } catch (err) {
      log.error('additional image store cannot be used', { root, error: explain(err) })
      return []
    }
  })
}

function readIndex(root: string, cacheDirectory: string): ImageIndex {
  const copy = join(cacheDirectory, `store-${createHash('sha256').update(root).digest('hex').slice(0, 16)}.db`)
  const clear = () => {
    for (const suffix of ['', '-wal', '-shm']) rmSync(copy + suffix, { force: true })
  }
  clear()
  try {
    copyFileSync(join(root, 'images.db'), copy)
    copyIfThere(join(root, 'images.db-wal'), `${copy}-wal`)
    return new ImageIndex(readDatabase(copy), 0)
  } finally {
    // What is open stays readable.
    clear()
  }
}

function copyIfThere(from: string, to: string): void {
  try {
    copyFileSync(from, to)
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err
  }
}
