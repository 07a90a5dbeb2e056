// The archive again: the skeleton's bytes, and between them the files that its headers tell of.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { CodedError } from '@coracle/base/errors'
import type { TarEntry } from '../tar/entry.ts'
import { show } from '../tar/errors.ts'
import { TarReader, type TarSink } from '../tar/reader.ts'

const chunkBytes = 1024 * 1024

/**
 * Calls `write` with the pieces of the archive, valid only during the call. The calling thread's root must be the layer's directory.
 * Throws `data_loss` when a file is not as long as it was; what else has changed shows in the digest of the whole.
 */
export async function playSkeleton(skeleton: AsyncIterable<Buffer>, write: (bytes: Buffer) => void): Promise<void> {
  let entry: TarEntry | undefined
  const sink: TarSink = {
    begin(begun) {
      entry = begun
    },
    data() {},
    end() {},
  }
  const reader = new TarReader(sink)
  const both = (bytes: Buffer) => {
    write(bytes)
    reader.push(bytes)
  }
  for await (const piece of skeleton) {
    for (let at = 0; at < piece.length; ) {
      if (reader.next.isContent) playFile(entry, reader.next.bytes, both)
      const end = Math.min(piece.length, at + reader.next.bytes)
      both(piece.subarray(at, end))
      at = end
    }
  }
  if (reader.next.isContent) playFile(entry, reader.next.bytes, both)
}

function playFile(entry: TarEntry | undefined, sizeBytes: number, write: (bytes: Buffer) => void): void {
  // The reader wants content only after an entry has begun.
  const { path } = entry as TarEntry
  const lost = (why: string) => new CodedError('data_loss', `${show(path)} ${why}`)
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const info = fstatSync(fd)
    if (!info.isFile() || info.size !== sizeBytes) throw lost(`has ${info.size} bytes, the layer's archive had ${sizeBytes}`)
    const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, sizeBytes))
    for (let left = sizeBytes; left > 0; ) {
      const length = readSync(fd, buffer, 0, Math.min(buffer.length, left), null)
      if (length === 0) throw lost('ends early')
      write(buffer.subarray(0, length))
      left -= length
    }
  } finally {
    closeSync(fd)
  }
}
