// A tar archive as a set of files, for archives that hold images: indexed by one pass over its headers, read where the content lies.
import type { FileHandle } from 'node:fs/promises'
import { failed, invalid, notFound } from '@coracle/base/errors'
import { cleanPath, parentOf } from '../tar/entry.ts'
import { show } from '../tar/errors.ts'
import { BLOCK_BYTES, parseHeader, type RawHeader } from '../tar/header.ts'
import { type PaxRecords, parsePax } from '../tar/pax.ts'
import { type LayoutFiles, range, readAt, tooLarge } from './layout-files.ts'
import { openArchive } from './open-archive.ts'

export interface ArchiveFiles extends LayoutFiles {
  has(path: string): boolean
  size(path: string): number
}

interface Place {
  readonly offset: number
  readonly size: number
}

const maxEntries = 100_000
const maxMetaBytes = 1024 * 1024

/**
 * Opens `path` (`-` or a pipe is spooled, gzip and zstd are unpacked into a temporary file).
 * Throws `invalid_argument` for what is no acceptable archive.
 */
export async function archiveFiles(path: string, signal: AbortSignal): Promise<ArchiveFiles> {
  const { file, size } = await openArchive(path, signal)
  try {
    return filesOf(path, file, await indexOf(file, size, signal))
  } catch (err) {
    await file.close()
    throw failed(`read archive ${path}`, err)
  }
}

interface Index {
  readonly files: ReadonlyMap<string, Place>
  readonly links: ReadonlyMap<string, string>
}

function filesOf(place: string, file: FileHandle, { files, links }: Index): ArchiveFiles {
  // Old writers link equal layers; a link to a link is nothing that any of them made.
  const find = (path: string): Place => {
    const found = files.get(path) ?? files.get(links.get(path) ?? '')
    if (found === undefined) throw notFound(`${place} has no ${path}`)
    return found
  }
  return {
    place,
    has: (path: string) => files.has(path) || files.has(links.get(path) ?? ''),
    async read(path: string, maxBytes: number) {
      const { offset, size } = find(path)
      if (size > maxBytes) throw tooLarge(`${path} in ${place}`, size, maxBytes)
      return readAt(file, offset, size)
    },
    stream: (path: string, signal: AbortSignal) => range(file, find(path), signal),
    size: (path: string) => find(path).size,
    [Symbol.asyncDispose]: () => file.close(),
  }
}

async function indexOf(file: FileHandle, totalBytes: number, signal: AbortSignal): Promise<Index> {
  const files = new Map<string, Place>()
  const links = new Map<string, string>()
  let meta: { pax?: PaxRecords; name?: Buffer; link?: Buffer } = {}
  let entries = 0
  for (let at = 0; at + BLOCK_BYTES <= totalBytes; ) {
    signal.throwIfAborted()
    const header = parseHeader(await readAt(file, at, BLOCK_BYTES))
    if (header === undefined) break
    if (++entries > maxEntries) throw invalid(`archive has more than ${maxEntries} entries`)
    const offset = at + BLOCK_BYTES
    const type = String.fromCharCode(header.type)
    if ('xgLK'.includes(type)) {
      if (header.sizeBytes > maxMetaBytes || offset + header.sizeBytes > totalBytes)
        throw invalid(`archive has an extension header of ${header.sizeBytes} bytes`)
      const data = await readAt(file, offset, header.sizeBytes)
      if (type === 'x') meta = { ...meta, pax: parsePax(data) }
      else if (type === 'L') meta = { ...meta, name: untilNul(data) }
      else if (type === 'K') meta = { ...meta, link: untilNul(data) }
      at = offset + padded(header.sizeBytes)
      continue
    }
    const size = meta.pax?.sizeBytes ?? header.sizeBytes
    if (type === '0' || type === '\0' || type === '7') {
      const path = add(files, header, meta)
      if (offset + size > totalBytes) throw invalid(`archive ends in the middle of ${path}`)
      files.set(path, { offset, size })
      at = offset + padded(size)
    } else {
      if (type === '1' || type === '2') links.set(add(links, header, meta), targetOf(type, header, meta))
      at = offset
    }
    meta = {}
  }
  return { files, links }
}

type Meta = { pax?: PaxRecords; name?: Buffer; link?: Buffer }

function add(known: ReadonlyMap<string, unknown>, header: RawHeader, meta: Meta): string {
  const path = cleanPath(meta.pax?.path ?? meta.name ?? header.name)
  const text = path.toString('latin1')
  // Two readers would see two images.
  if (known.has(text)) throw invalid(`archive has ${show(path)} twice`)
  return text
}

function targetOf(type: string, header: RawHeader, meta: Meta): string {
  const target = meta.pax?.linkpath ?? meta.link ?? header.link
  const name = cleanPath(meta.pax?.path ?? meta.name ?? header.name)
  const base = type === '2' && target[0] !== 0x2f ? Buffer.concat([parentOf(name), Buffer.from('/')]) : Buffer.alloc(0)
  return cleanPath(Buffer.concat([base[0] === 0x2f ? Buffer.alloc(0) : base, target])).toString('latin1')
}

const padded = (size: number): number => Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES

function untilNul(data: Buffer): Buffer {
  const end = data.indexOf(0)
  return end < 0 ? data : data.subarray(0, end)
}
