// Writes a layer's tree record beside the extraction: it stands between the tar reader and the extractor and sees every byte once.
import { createHash, type Hash } from 'node:crypto'
import { closeSync, writeSync } from 'node:fs'
import zlib from 'node:zlib'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import type { TarEntry } from '../tar/entry.ts'
import type { TarSink } from '../tar/reader.ts'
import { maxRecordBytes, writeRecord } from './record.ts'

const flushBytes = 1024 * 1024
const compression = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }

export class TreeRecorder implements TarSink {
  readonly #sink: TarSink
  readonly #fd: number
  readonly #buffer: Buffer = Buffer.allocUnsafe(flushBytes + maxRecordBytes)
  readonly #hash: Hash = createHash('sha256')
  #fill = 0
  #entry: TarEntry | undefined
  #crc = 0
  #closed = false

  readonly #crc32: (data: Buffer, crc: number) => number

  /** `fd`: the record's file, open for writing; closed by `finish` or `abandon`. `crc32`: a faster one, where there is one. */
  constructor(sink: TarSink, fd: number, crc32: (data: Buffer, crc: number) => number = zlib.crc32) {
    this.#sink = sink
    this.#fd = fd
    this.#crc32 = crc32
  }

  begin(entry: TarEntry): void {
    this.#put()
    this.#sink.begin(entry)
    this.#entry = entry
    this.#crc = 0
  }

  data(chunk: Buffer): void {
    this.#sink.data(chunk)
    if (this.#entry?.kind === 'file') this.#crc = this.#crc32(chunk, this.#crc)
  }

  end(): void {
    this.#sink.end()
  }

  /** Writes what is left; returns the digest of the file. The layer's sync makes it durable. */
  finish(): string {
    this.#put()
    this.#flush()
    this.abandon()
    return `sha256:${this.#hash.digest('hex')}`
  }

  abandon(): void {
    if (!this.#closed) closeSync(this.#fd)
    this.#closed = true
  }

  #put(): void {
    const entry = this.#entry
    if (entry === undefined) return
    this.#entry = undefined
    const capability = entry.xattrs?.get('security.capability')
    const sums = { crc: this.#crc, capability: capability === undefined ? 0 : zlib.crc32(capability) }
    this.#fill = writeRecord(this.#buffer, this.#fill, entry, sums)
    if (this.#fill >= flushBytes) this.#flush()
  }

  #flush(): void {
    if (this.#fill === 0) return
    const frame = zlib.zstdCompressSync(this.#buffer.subarray(0, this.#fill), compression)
    this.#fill = 0
    this.#hash.update(frame)
    try {
      for (let at = 0; at < frame.length; ) at += writeSync(this.#fd, frame, at, frame.length - at)
    } catch (err) {
      if (!isErrno(err, 'ENOSPC', 'EDQUOT')) throw err
      throw new CodedError('resource_exhausted', 'no space left to write the tree record of a layer', { cause: err })
    }
  }
}
