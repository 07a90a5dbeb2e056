import { randomBytes } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { doing } from '@coracle/base/errors'

/** A file for reading and writing without a name: it is gone when it is closed, whatever happens to us. */
export async function nameless(): Promise<FileHandle> {
  const path = join(tmpdir(), `coracle-${randomBytes(12).toString('hex')}`)
  const file = await open(path, 'wx+', 0o600)
  await unlink(path)
  return file
}

/** Adds to such a file. A full disk is named: it is not where the user is looking. */
export const append = (file: FileHandle, chunk: Buffer): Promise<void> =>
  doing(`write a temporary file in ${tmpdir()} (TMPDIR)`, () => file.appendFile(chunk))
