import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

export interface AtomicFileOptions {
  /** Permission bits, default 0600. */
  readonly mode?: number
  /** Sync the file and its directory, so that it survives a power loss. Default false. */
  readonly durable?: boolean
}

let serial = 0

/** Writes `path` so that a crash leaves the old content or the new one: temporary file, rename. */
export function writeFileAtomic(path: string, content: string | Uint8Array, options: AtomicFileOptions = {}): void {
  const temporary = `${path}.${process.pid}.${++serial}.tmp`
  const data = typeof content === 'string' ? Buffer.from(content) : content
  try {
    const fd = openSync(temporary, 'wx', options.mode ?? 0o600)
    try {
      for (let offset = 0; offset < data.length; ) offset += writeSync(fd, data, offset)
      if (options.durable) fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (err) {
    rmSync(temporary, { force: true })
    throw err
  }
  if (options.durable) syncDirectory(dirname(path))
}

/** fsync(2) of a directory: makes creations and renames in it durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
