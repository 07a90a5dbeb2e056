// Parts of downloads that were interrupted (unpack/interrupted.ts): kept for a day, and not more than some space.
import { readdirSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'

const maxAgeMs = 24 * 3_600_000
const maxBytes = 2 * 1024 ** 3
const blockBytes = 512

/** Removes those that are too old, and the oldest of those that take too much. */
export function pruneDownloads(directory: string, nowMs = Date.now()): void {
  const parts = readdirSync(directory).flatMap((name) => {
    const path = join(directory, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat === undefined ? [] : [{ path, mtimeMs: stat.mtimeMs, bytes: stat.blocks * blockBytes }]
  })
  let left = maxBytes
  for (const { path, mtimeMs, bytes } of parts.sort((a, b) => b.mtimeMs - a.mtimeMs)) {
    left -= bytes
    if (left < 0 || nowMs - mtimeMs > maxAgeMs) remove(path)
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (err) {
    // A worker that finished its blob was faster.
    if (!isErrno(err, 'ENOENT')) throw err
  }
}
