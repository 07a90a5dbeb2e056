import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { precondition } from '@coracle/base/errors'
import { makeDirectories } from '@coracle/base/make-directories'
import { writeFileOf } from './write-file.ts'

/**
 * Takes a directory for images, made with its parents where it is not there: one that is empty, or has `marker` already.
 * Throws `failed_precondition` for one that holds something else, of which nothing may be overwritten.
 */
export async function claimDirectory(
  directory: string,
  marker: { readonly name: string; readonly content: Buffer },
): Promise<void> {
  makeDirectories(directory, 0o777)
  const names = await readdir(directory)
  if (names.includes(marker.name)) return
  if (names.length > 0)
    throw precondition(`${directory} is not empty and has no ${marker.name}: it holds something else than images`)
  await writeFileOf(join(directory, marker.name), [marker.content])
}
