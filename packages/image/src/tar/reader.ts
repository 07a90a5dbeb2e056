// A strict tar reader that is pushed: bytes go in as they come, entries and their content come out, nothing is kept.

import { baseOf, cleanPath, type EntryKind, type TarEntry } from './entry.ts'
import { archiveError, show } from './errors.ts'
import { BLOCK_BYTES, parseHeader, type RawHeader } from './header.ts'
import { type PaxRecords, parsePax } from './pax.ts'

export interface TarSink {
  begin(entry: TarEntry): void
  /** Part of the content of the entry begun last; valid only during the call. */
  data(chunk: Buffer): void
  end(): void
}

const maxPaxBytes = 1024 * 1024
const maxLongNameBytes = 4096
// chown(2) reads -1 as "leave as it is".
const maxId = 0xffff_fffe

const kinds: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
}

type Meta = 'pax' | 'global' | 'name' | 'link'

export class TarReader {
  readonly #sink: TarSink
  readonly #block = Buffer.alloc(BLOCK_BYTES)
  #blockFill = 0
  #state: 'header' | 'content' | 'meta' | 'padding' | 'ended' = 'header'
  /** Bytes left of the content, meta data or padding being read. */
  #left = 0
  #padding = 0
  #zeroBlocks = 0
  #meta: { readonly kind: Meta; readonly data: Buffer } | undefined
  #pax: PaxRecords | undefined
  #longName: Buffer | undefined
  #longLink: Buffer | undefined
  readonly #onSkeleton: ((bytes: Buffer) => void) | undefined
  #contentIsElsewhere = false

  /** `onSkeleton` gets every byte that is not the content of a file of its own; valid only during the call. */
  constructor(sink: TarSink, onSkeleton?: (bytes: Buffer) => void) {
    this.#sink = sink
    this.#onSkeleton = onSkeleton
  }

  /** How many bytes come next that are all of one kind: content of a file of its own, or anything else. Infinite at the end. */
  get next(): { readonly isContent: boolean; readonly bytes: number } {
    if (this.#state === 'ended') return { isContent: false, bytes: Number.POSITIVE_INFINITY }
    if (this.#state === 'header') return { isContent: false, bytes: BLOCK_BYTES - this.#blockFill }
    return { isContent: this.#state === 'content' && this.#contentIsElsewhere, bytes: this.#left }
  }

  /** Takes the next bytes. Throws what the sink throws, and `invalid_argument` when the archive is refused. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && this.#state !== 'ended') {
      if (this.#state === 'header') at = this.#takeHeader(chunk, at)
      else {
        const end = Math.min(chunk.length, at + this.#left)
        this.#left -= end - at
        if (this.#state !== 'content' || !this.#contentIsElsewhere) this.#onSkeleton?.(chunk.subarray(at, end))
        if (this.#state === 'content') this.#sink.data(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end))
        else if (this.#state === 'meta') chunk.copy(this.#metaData(), this.#metaData().length - this.#left - (end - at), at, end)
        at = end
        if (this.#left === 0) this.#partDone()
      }
    }
    if (at < chunk.length) this.#onSkeleton?.(chunk.subarray(at))
  }

  /** Call at the end of the bytes. An archive without its end blocks is accepted, one cut inside an entry is not. */
  finish(): void {
    const dangling = this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined
    if (!dangling && (this.#state === 'ended' || (this.#state === 'header' && this.#blockFill === 0))) return
    throw archiveError('it ends in the middle of an entry')
  }

  #takeHeader(chunk: Buffer, at: number): number {
    let block: Buffer
    let end: number
    if (this.#blockFill === 0 && chunk.length - at >= BLOCK_BYTES) {
      end = at + BLOCK_BYTES
      block = chunk.subarray(at, end)
    } else {
      end = Math.min(chunk.length, at + BLOCK_BYTES - this.#blockFill)
      chunk.copy(this.#block, this.#blockFill, at, end)
      this.#blockFill += end - at
      if (this.#blockFill < BLOCK_BYTES) {
        this.#onSkeleton?.(chunk.subarray(at, end))
        return end
      }
      this.#blockFill = 0
      block = this.#block
    }
    this.#onSkeleton?.(chunk.subarray(at, end))
    const header = parseHeader(block)
    if (header === undefined) {
      if (++this.#zeroBlocks === 2) this.#state = 'ended'
    } else if (this.#zeroBlocks > 0) throw archiveError('an entry follows a block of zeros')
    else this.#header(header)
    return end
  }

  #header(header: RawHeader) {
    const type = String.fromCharCode(header.type)
    if (type === 'x') return this.#startMeta('pax', header.sizeBytes, maxPaxBytes)
    if (type === 'g') return this.#startMeta('global', header.sizeBytes, maxPaxBytes)
    if (type === 'L') return this.#startMeta('name', header.sizeBytes, maxLongNameBytes)
    if (type === 'K') return this.#startMeta('link', header.sizeBytes, maxLongNameBytes)
    if (type === 'S') throw archiveError('it has sparse files')
    const kind = kinds[type]
    if (kind === undefined)
      throw archiveError(`it has an entry of the unknown type 0x${header.type.toString(16).padStart(2, '0')}`)
    const entry = this.#merge(kind, header)
    this.#sink.begin(entry)
    this.#contentIsElsewhere = isFileOfItsOwn(entry)
    this.#state = 'content'
    this.#left = entry.sizeBytes
    this.#padding = paddingOf(entry.sizeBytes)
    if (this.#left === 0) this.#partDone()
  }

  #merge(given: EntryKind, header: RawHeader): TarEntry {
    const pax = this.#pax
    const name = only(pax?.path, this.#longName) ?? header.name
    const link = only(pax?.linkpath, this.#longLink) ?? header.link
    this.#pax = this.#longName = this.#longLink = undefined
    // Before there was a type for directories a trailing slash told them.
    const kind = header.type === 0 && name.at(-1) === 0x2f ? 'directory' : given
    if (name.length === 0) throw archiveError('an entry has no name')
    const uid = pax?.uid ?? header.uid
    const gid = pax?.gid ?? header.gid
    if (uid > maxId || gid > maxId) throw archiveError(`an entry has the owner ${uid}:${gid}: expected ids below 2^32-1`)
    const hasLink = kind === 'hardlink' || kind === 'symlink'
    if (hasLink && link.length === 0) throw archiveError('a link has no target')
    const size = pax?.sizeBytes ?? header.sizeBytes
    return {
      kind,
      path: cleanPath(name),
      sizeBytes: kind === 'file' ? size : 0,
      mode: header.mode & 0o7777,
      uid,
      gid,
      mtime: pax?.mtime ?? { seconds: header.mtime, nanoseconds: 0 },
      link: kind === 'hardlink' ? cleanPath(link) : link,
      major: header.major,
      minor: header.minor,
      xattrs: pax?.xattrs,
    }
  }

  #startMeta(kind: Meta, sizeBytes: number, maxBytes: number): void {
    if (sizeBytes > maxBytes) throw archiveError(`an extension header of ${sizeBytes} bytes is larger than ${maxBytes}`)
    this.#meta = { kind, data: Buffer.alloc(sizeBytes) }
    this.#state = 'meta'
    this.#left = sizeBytes
    this.#padding = paddingOf(sizeBytes)
    if (sizeBytes === 0) this.#partDone()
  }

  #metaData(): Buffer {
    // The state `meta` is entered only with meta data.
    return (this.#meta as { data: Buffer }).data
  }

  #partDone(): void {
    if (this.#state === 'content') this.#sink.end()
    else if (this.#state === 'meta') this.#metaDone()
    if (this.#state !== 'padding' && this.#padding > 0) {
      this.#state = 'padding'
      this.#left = this.#padding
      this.#padding = 0
    } else this.#state = 'header'
  }

  #metaDone(): void {
    const meta = this.#meta
    this.#meta = undefined
    if (meta?.kind === 'pax') this.#pax = parsePax(meta.data)
    else if (meta?.kind === 'name') this.#longName = untilNul(meta.data)
    else if (meta?.kind === 'link') this.#longLink = untilNul(meta.data)
    // A global header would change every entry after it: ignored as a whole, as peers do.
  }
}

// Of two, GNU tar takes the one and Go's reader the other: they would unpack different trees.
function only(pax: Buffer | undefined, gnu: Buffer | undefined): Buffer | undefined {
  if (pax !== undefined && gnu !== undefined && !pax.equals(gnu))
    throw archiveError(`an entry has two names, ${show(pax)} and ${show(gnu)}`)
  return pax ?? gnu
}

// What a whiteout contains is not kept by anybody.
const isFileOfItsOwn = ({ kind, path }: TarEntry): boolean =>
  kind === 'file' && path.length > 0 && baseOf(path).toString('latin1', 0, 4) !== '.wh.'

const paddingOf = (sizeBytes: number): number => (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES

function untilNul(data: Buffer): Buffer {
  const end = data.indexOf(0)
  const name = end < 0 ? data : data.subarray(0, end)
  if (name.length === 0) throw archiveError('a long name is empty')
  return name
}
