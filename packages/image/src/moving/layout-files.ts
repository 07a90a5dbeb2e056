// The files of an image layout, in a directory or an archive: regular files only, read within limits.
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { CodedError, notFound } from '@coracle/base/errors'

export interface LayoutFiles extends AsyncDisposable {
  /** For messages. */
  readonly place: string
  /** Throws `not_found`, `invalid_argument` when larger. `path` has been made by us of checked parts. */
  read(path: string, maxBytes: number): Promise<Buffer>
  stream(path: string, signal: AbortSignal): AsyncIterable<Buffer>
}

const chunkBytes = 1024 * 1024

export function directoryFiles(directory: string): LayoutFiles {
  const opened = async (path: string): Promise<{ file: FileHandle; size: number }> => {
    let file: FileHandle
    try {
      // A fifo must not hold us up, a link must not lead elsewhere.
      file = await open(join(directory, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'ENOTDIR')) throw notFound(`${directory} has no ${path}`)
      throw new CodedError('failed_precondition', `open ${join(directory, path)}`, { cause: err })
    }
    const info = await file.stat()
    if (info.isFile()) return { file, size: info.size }
    await file.close()
    throw new CodedError('invalid_argument', `${join(directory, path)} is no regular file`)
  }
  return {
    place: directory,
    async read(path, maxBytes) {
      const { file, size } = await opened(path)
      await using _file = file
      if (size > maxBytes) throw tooLarge(join(directory, path), size, maxBytes)
      return readAt(file, 0, size)
    },
    async *stream(path, signal) {
      const { file, size } = await opened(path)
      await using _file = file
      yield* range(file, { offset: 0, size }, signal)
    },
    async [Symbol.asyncDispose]() {},
  }
}

export const tooLarge = (what: string, size: number, maxBytes: number): CodedError =>
  new CodedError('invalid_argument', `${what} has ${size} bytes, more than the limit of ${maxBytes}`)

/** Exactly `size` bytes. Throws `data_loss` when the file is shorter. */
export async function readAt(file: FileHandle, offset: number, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(bytes, at, size - at, offset + at)
    if (bytesRead === 0) throw new CodedError('data_loss', 'the file is shorter than it was')
    at += bytesRead
  }
  return bytes
}

export async function* range(
  file: FileHandle,
  { offset, size }: { readonly offset: number; readonly size: number },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    signal.throwIfAborted()
    const bytes = await readAt(file, offset + at, Math.min(chunkBytes, size - at))
    at += bytes.length
    yield bytes
  }
}
