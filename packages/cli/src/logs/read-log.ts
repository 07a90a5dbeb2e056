// Reads a CRI log file, and keeps reading while it grows, through rotations.
import { watch } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { notFound } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import { type LogEntry, LogSplitter } from './cri-log.ts'
import { tailOffset } from './tail.ts'

const CHUNK_BYTES = 64 << 10

export type ReadLogOptions = {
  /** Only the last so many lines of what is there at the start. */
  readonly tail?: number | undefined
  /** Goes on until this says false, asked at most every `pollMs`; absent: ends at what is there at the start. */
  readonly isGrowing?: (() => Promise<boolean>) | undefined
  /** How long to wait for news at the end of the file, in milliseconds. */
  readonly pollMs?: number
  readonly signal: AbortSignal
}

/**
 * The entries of the log at `path`. When following, a file that is renamed away is read to its end before its successor.
 * @throws CodedError `not_found` when there is no file and none can come.
 */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<LogEntry> {
  const { isGrowing, signal, pollMs = 300 } = options
  const splitter = new LogSplitter()
  using news = watchDirectory(dirname(path))
  let file = await openIfThere(path)
  try {
    const { size = 0 } = (await file?.stat()) ?? {}
    let offset = file && options.tail !== undefined ? await tailOffset(file, options.tail, size) : 0
    // A program may write faster than this reads.
    const end = isGrowing === undefined ? size : Number.POSITIVE_INFINITY
    for (;;) {
      // Both asked before reading: what was written before the end, or before the rename, is then read below.
      const growing = isGrowing !== undefined && !signal.aborted && (await isGrowing())
      const rotated = file !== undefined && isGrowing !== undefined && (await isReplaced(file, path))
      file ??= await openIfThere(path)
      if (file) {
        for await (const chunk of chunksFrom(file, offset, end)) {
          offset += chunk.length
          yield* splitter.push(chunk)
        }
        if ((await file.stat()).size < offset) offset = 0
      }
      if (signal.aborted) return
      const next: FileHandle | undefined = rotated ? await openIfThere(path) : undefined
      if (next) {
        await file?.close()
        file = next
        offset = 0
        continue
      }
      if (!growing) break
      await news.wait(pollMs, signal)
    }
    if (!file) throw notFound(`no log at ${path}: it has been removed, or nothing was ever started`)
    yield* splitter.finish()
  } finally {
    await file?.close()
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path)
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined
    throw err
  }
}

async function isReplaced(file: FileHandle, path: string): Promise<boolean> {
  const current = await stat(path).catch(() => undefined)
  return current === undefined || current.ino !== (await file.stat()).ino
}

async function* chunksFrom(file: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  for (let offset = start; offset < end; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK_BYTES, end - offset), offset)
    if (bytesRead === 0) return
    offset += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** Waits for changes in a directory, or just for time where it cannot be watched. */
function watchDirectory(directory: string): Disposable & { wait(ms: number, signal: AbortSignal): Promise<void> } {
  let changed = Promise.withResolvers<void>()
  const notice = () => changed.resolve()
  let watcher: ReturnType<typeof watch> | undefined
  try {
    watcher = watch(directory, { persistent: false }, notice).on('error', notice)
  } catch {
    // The directory is not there yet: the clock does.
  }
  return {
    async wait(ms, signal) {
      const waited = new AbortController()
      await Promise.race([changed.promise, delay(ms, AbortSignal.any([signal, waited.signal])).catch(() => {})])
      waited.abort()
      changed = Promise.withResolvers<void>()
    },
    [Symbol.dispose]: () => watcher?.close(),
  }
}
