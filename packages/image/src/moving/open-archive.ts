// An archive as a file that can be read anywhere: what cannot be is first written, unpacked where compressed, to a file without a name.
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { CodedError, invalid } from '@coracle/base/errors'
import { decompressed } from './compression.ts'
import { nameless } from './temporary-file.ts'

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
    if (!isCompressed(start)) return { file, size: info.size }
  } else if (info.isDirectory()) {
    await file.close()
    throw invalid(`archive ${path} is a directory`)
  }
  await using _file = file
  return await spool(createReadStream('', { fd: file.fd, autoClose: false, ...(info.isFile() ? { start: 0 } : {}) }), signal)
}

const isCompressed = (start: Buffer): boolean =>
  (start[0] === 0x1f && start[1] === 0x8b) || start.readUInt32LE(0) === 0xfd2fb528 || start.readUInt32LE(0) === 0x587a37fd

async function spool(input: Readable, signal: AbortSignal): Promise<{ file: FileHandle; size: number }> {
  const file = await nameless()
  try {
    let size = 0
    for await (const chunk of decompressed(input)) {
      signal.throwIfAborted()
      size += chunk.length
      if (size > maxArchiveBytes) throw invalid(`archive unpacks to more than ${maxArchiveBytes} bytes`)
      await file.appendFile(chunk)
    }
    return { file, size }
  } catch (err) {
    await file.close()
    throw err
  }
}
