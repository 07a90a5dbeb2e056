// An archive as a file that can be read anywhere: what cannot be is first written, unpacked where compressed, to a file without a name.
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { CodedError, failed, invalid } from '@coracle/base/errors'
import { sniff } from '../unpack/decompress.ts'
import { decompressed } from './compression.ts'
import { append, nameless } from './temporary-file.ts'

export const maxArchiveBytes = 1024 ** 4

/** `-` is standard input. */
export async function openArchive(path: string, signal: AbortSignal): Promise<{ file: FileHandle; size: number }> {
  if (path === '-') return spool(process.stdin, signal)
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (err) {
    throw new CodedError('failed_precondition', `open archive ${path}`, { cause: err })
  }
  const info = await file.stat()
  if (info.isFile()) {
    const start = Buffer.alloc(4)
    await file.read(start, 0, 4, 0)
    if (compressionOf(path, start) === 'none') return { file, size: info.size }
  } else if (info.isDirectory()) {
    await file.close()
    throw invalid(`archive ${path} is a directory`)
  }
  await using _file = file
  return await spool(createReadStream('', { fd: file.fd, autoClose: false, ...(info.isFile() ? { start: 0 } : {}) }), signal)
}

// Another compression than those is refused here already: by the whole archive's name.
function compressionOf(path: string, start: Buffer) {
  try {
    return sniff(start)
  } catch (err) {
    throw failed(`read archive ${path}`, err)
  }
}

async function spool(input: Readable, signal: AbortSignal): Promise<{ file: FileHandle; size: number }> {
  const file = await nameless()
  try {
    let size = 0
    for await (const chunk of decompressed(input)) {
      signal.throwIfAborted()
      size += chunk.length
      if (size > maxArchiveBytes) throw invalid(`archive unpacks to more than ${maxArchiveBytes} bytes`)
      await append(file, chunk)
    }
    return { file, size }
  } catch (err) {
    await file.close()
    throw err
  }
}
