import type { FileHandle } from 'node:fs/promises'
import { parseLogLine } from './cri-log.ts'

const BLOCK_BYTES = 64 << 10
const NEWLINE = 0x0a

/**
 * The offset at which the last `count` lines of a CRI log begin, read from the end at `size` backwards. A line in several parts counts
 * once.
 */
export async function tailOffset(file: FileHandle, count: number, size: number): Promise<number> {
  if (count <= 0) return size
  let lines = 0
  let lineStart = size
  let block = Buffer.alloc(0)
  let blockStart = size
  for (;;) {
    // The newline that ends the line before the one at `lineStart` lies just before it.
    const end = lineStart - blockStart - 1
    const newline = end > 0 ? block.lastIndexOf(NEWLINE, end - 1) : -1
    if (newline < 0 && blockStart > 0) {
      const from = Math.max(0, blockStart - BLOCK_BYTES)
      block = Buffer.concat([await readExactly(file, from, blockStart - from), block.subarray(0, lineStart - blockStart)])
      blockStart = from
      continue
    }
    if (lineStart === 0) return 0
    const start = blockStart + newline + 1
    const { partial } = parseLogLine(block.subarray(start - blockStart, end))
    // A part belongs to the line that ends after it; only an end opens a further line.
    if (!partial || lineStart === size) lines++
    if (lines > count) return lineStart
    lineStart = start
  }
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await file.read(buffer, 0, length, position)
  return buffer.subarray(0, bytesRead)
}
