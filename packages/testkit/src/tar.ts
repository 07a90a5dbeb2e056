// A tar writer for layers made in memory (POSIX ustar): just what the test images need.

export interface TarEntry {
  /** Without a leading slash; at most 100 bytes. */
  readonly path: string
  readonly type?: 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'fifo'
  readonly body?: Uint8Array | string
  /** Target of a link. */
  readonly link?: string
  readonly mode?: number
  /** Major and minor number of a device. */
  readonly device?: readonly [number, number]
  readonly uid?: number
  readonly gid?: number
}

const typeFlags = { file: '0', directory: '5', symlink: '2', hardlink: '1', character: '3', fifo: '6' } as const
const BLOCK_BYTES = 512

/** An archive with the entries in the order given, ended by two zero blocks. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const body = Buffer.from(entry.body ?? '')
    const padding = Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES)
    return [header(entry, body.length), body, padding]
  })
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)])
}

function header(entry: TarEntry, sizeBytes: number): Buffer {
  const type = entry.type ?? 'file'
  const block = Buffer.alloc(BLOCK_BYTES)
  const name = type === 'directory' ? `${entry.path}/` : entry.path
  if (Buffer.byteLength(name) > 100) throw new Error(`tar path of more than 100 bytes: ${name}`)
  block.write(name, 0)
  octal(block, entry.mode ?? (type === 'directory' ? 0o755 : 0o644), { at: 100, digits: 7 })
  octal(block, entry.uid ?? 0, { at: 108, digits: 7 })
  octal(block, entry.gid ?? 0, { at: 116, digits: 7 })
  octal(block, sizeBytes, { at: 124, digits: 11 })
  octal(block, 0, { at: 136, digits: 11 })
  block.write('        ', 148)
  block.write(typeFlags[type], 156)
  block.write(entry.link ?? '', 157)
  block.write('ustar\x0000', 257)
  const [major, minor] = entry.device ?? [0, 0]
  octal(block, major, { at: 329, digits: 7 })
  octal(block, minor, { at: 337, digits: 7 })
  const sum = block.reduce((total, byte) => total + byte, 0)
  octal(block, sum, { at: 148, digits: 6 })
  block.write('\0 ', 154)
  return block
}

function octal(block: Buffer, value: number, { at, digits }: { at: number; digits: number }): void {
  block.write(value.toString(8).padStart(digits, '0'), at)
}
