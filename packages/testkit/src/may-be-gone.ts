// What stands below /proc and in directories of others may go while it is looked at: then there is nothing to read.
import { readFileSync, readlinkSync } from 'node:fs'

/** Empty when the file, or the process it describes, has gone meanwhile. */
export const readText = (path: string): string => orEmpty(() => readFileSync(path, 'utf8'))

/** Empty when the link has gone meanwhile. */
export const readLink = (path: string): string => orEmpty(() => readlinkSync(path))

function orEmpty(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}
