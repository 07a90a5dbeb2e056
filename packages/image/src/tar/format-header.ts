// Writing one ustar header (POSIX.1-2017, pax) of a regular file that belongs to root: what archives of images are made of.
import { BLOCK_BYTES } from './header.ts'

export interface FileHeader {
  /** At most 100 bytes. */
  readonly name: string
  readonly sizeBytes: number
}

const maxOctalBytes = 0o77777777777

/** Sizes from 8 GiB on are written in base 256, as GNU tar does. No time is recorded, so that equal content gives equal archives. */
export function formatHeader({ name, sizeBytes }: FileHeader): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`tar name of ${name.length} characters`)
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(name, 0, 'utf8')
  octal(block, 100, 8, 0o644)
  octal(block, 108, 8, 0)
  octal(block, 116, 8, 0)
  if (sizeBytes <= maxOctalBytes) octal(block, 124, 12, sizeBytes)
  else {
    block[124] = 0x80
    block.writeBigUInt64BE(BigInt(sizeBytes), 128)
  }
  octal(block, 136, 12, 0)
  block.write('0', 156)
  block.write('ustar\x0000', 257, 'latin1')
  block.write('        ', 148)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1')
}
