// Decompression of gzip by the library of host/isal, on the calling thread into one buffer.
import type { GzipReader } from '@coracle/host/isal'
import { archiveError } from '../tar/errors.ts'
import { outputBytes } from './decompress.ts'
import type { SyncInflater } from './inflate-sync.ts'

export class IsalInflater implements SyncInflater {
  readonly #reader: GzipReader
  readonly #output = Buffer.allocUnsafeSlow(outputBytes)
  #padding = false

  constructor(reader: GzipReader) {
    this.#reader = reader
  }

  push(input: Buffer, consume: (chunk: Buffer) => void): void {
    const reader = this.#reader
    if (this.#padding || input.length === 0) return
    if (reader.ended && !this.#beginMember(input)) return
    reader.give(input)
    for (;;) {
      const count = reader.read(this.#output)
      if (count < 0) throw archiveError('its gzip data is broken')
      if (count > 0) consume(count === outputBytes ? this.#output : this.#output.subarray(0, count))
      if (reader.ended) {
        if (reader.unread === 0 || !this.#beginMember(input.subarray(input.length - reader.unread))) return
      } else if (count < outputBytes) return
    }
  }

  finish(): void {
    if (!this.#padding && !this.#reader.ended) throw archiveError('its gzip data ends before its end')
  }

  // The memory is JavaScript's.
  close(): void {}

  // Zeros after a member are padding, as for gzip(1): they and what follows are only hashed.
  #beginMember(input: Buffer): boolean {
    this.#padding = input[0] === 0
    if (!this.#padding) this.#reader.restart()
    return !this.#padding
  }
}
