// Raw tar archives, right or wrong in every byte: for readers that must refuse what no writer would write.

export interface RawEntry {
  readonly name: string | Buffer
  /** One character, default `0`. */
  readonly type?: string | number
  readonly body?: Buffer | string
  readonly link?: string | Buffer
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly major?: number
  readonly minor?: number
  /** What the header says; default is the body's length. */
  readonly size?: number
  /** Default `ustar\0` and `00`. */
  readonly magic?: string
  /** ustar's prefix field. */
  readonly prefix?: string
  /** Written over the finished header, by offset; the checksum is made afterwards unless it is given here itself. */
  readonly patch?: Readonly<Record<number, string | Buffer>>
}

const BLOCK = 512
const CHECKSUM_AT = 148

/** One entry: header, body, padding. */
export function rawEntry(entry: RawEntry): Buffer {
  const body = Buffer.from(entry.body ?? '')
  return Buffer.concat([rawHeader(entry, body.length), body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)])
}

export function rawHeader(entry: RawEntry, bodyBytes = 0): Buffer {
  const block = Buffer.alloc(BLOCK)
  const put = (value: string | Buffer | undefined, at: number, length: number) => {
    if (value !== undefined) Buffer.from(value).copy(block, at, 0, length)
  }
  const octal = (value: number, at: number, digits: number) => put(value.toString(8).padStart(digits, '0'), at, digits)
  put(entry.name, 0, 100)
  octal(entry.mode ?? 0o644, 100, 7)
  octal(entry.uid ?? 0, 108, 7)
  octal(entry.gid ?? 0, 116, 7)
  octal(entry.size ?? bodyBytes, 124, 11)
  octal(entry.mtime ?? 0, 136, 11)
  const type = entry.type ?? '0'
  if (typeof type === 'number') block[156] = type
  else put(type, 156, 1)
  put(entry.link, 157, 100)
  put(entry.magic ?? 'ustar\x0000', 257, 8)
  octal(entry.major ?? 0, 329, 7)
  octal(entry.minor ?? 0, 337, 7)
  put(entry.prefix, 345, 155)
  for (const [at, value] of Object.entries(entry.patch ?? {})) put(value, Number(at), BLOCK)
  if (entry.patch?.[CHECKSUM_AT] === undefined) writeChecksum(block)
  return block
}

function writeChecksum(block: Buffer): void {
  block.fill(0x20, CHECKSUM_AT, CHECKSUM_AT + 8)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT, 'latin1')
}

/** The two zero blocks that end an archive. */
export const endOfArchive = Buffer.alloc(2 * BLOCK)

/** A whole archive; Buffers are put in as they are. */
export function rawTar(...parts: readonly (RawEntry | Buffer)[]): Buffer {
  return Buffer.concat([...parts.map((part) => (Buffer.isBuffer(part) ? part : rawEntry(part))), endOfArchive])
}

/** A PAX extended header (type `x`, or `g` for a global one) with records made right. */
export function paxHeader(records: Readonly<Record<string, string | Buffer>>, type: 'x' | 'g' = 'x'): Buffer {
  return rawEntry({ name: 'PaxHeaders/0', type, body: Buffer.concat(Object.entries(records).map(([k, v]) => paxRecord(k, v))) })
}

/** `LENGTH key=value\n`, where LENGTH counts itself. */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

/** GNU's long name (`L`) or long link (`K`) before an entry. */
export const gnuLong = (type: 'L' | 'K', name: string | Buffer): Buffer =>
  rawEntry({ name: '././@LongLink', type, body: Buffer.concat([Buffer.from(name), Buffer.alloc(1)]), magic: 'ustar  \0' })
