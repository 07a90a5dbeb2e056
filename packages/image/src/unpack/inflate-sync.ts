// Decompression on the calling thread into one buffer that is used again and again: no hop to another thread, no garbage. This reaches
// behind the public interface of Node's zlib streams, whose own synchronous form cannot do a stream piece by piece; what is used is
// checked before, and `undefined` sends the caller to the public form.
import zlib from 'node:zlib'
import { archiveError } from '../tar/errors.ts'
import { outputBytes, windowLog } from './decompress.ts'

interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    at: number,
    length: number,
    output: Uint8Array,
    outAt: number,
    outLength: number,
  ): void
  onerror: (message: string, errno: number, code: string) => void
  close(): void
}

export interface SyncInflater {
  /** Decompresses `input`, handing out what comes; the output is valid only during the call. */
  push(input: Buffer, consume: (chunk: Buffer) => void): void
  /** Throws when the data ended before its end. */
  finish(consume: (chunk: Buffer) => void): void
  close(): void
}

export function createSyncInflater(compression: 'gzip' | 'zstd'): SyncInflater | undefined {
  const stream: unknown =
    compression === 'gzip'
      ? zlib.createGunzip()
      : zlib.createZstdDecompress({ params: { [zlib.constants.ZSTD_d_windowLogMax]: windowLog } })
  const { _handle: handle, _writeState: state } = stream as { _handle?: Partial<Handle>; _writeState?: unknown }
  if (!isHandle(handle) || !(state instanceof Uint32Array) || state.length < 2) return undefined
  return new HandleInflater(handle, state, compression)
}

const isHandle = (handle: Partial<Handle> | undefined): handle is Handle =>
  typeof handle?.writeSync === 'function' && typeof handle.close === 'function' && 'onerror' in handle

class HandleInflater implements SyncInflater {
  readonly #handle: Handle
  /** Filled by each write: room left in the output, bytes left of the input. */
  readonly #state: Uint32Array
  readonly #compression: 'gzip' | 'zstd'
  readonly #output = Buffer.allocUnsafeSlow(outputBytes)
  #failure: string | undefined
  #ended = false

  constructor(handle: Handle, state: Uint32Array, compression: 'gzip' | 'zstd') {
    this.#handle = handle
    this.#state = state
    this.#compression = compression
    handle.onerror = (message, _errno, code) => {
      this.#failure = `${code}: ${message}`
    }
  }

  push(input: Buffer, consume: (chunk: Buffer) => void): void {
    this.#run(this.#compression === 'gzip' ? zlib.constants.Z_NO_FLUSH : zlib.constants.ZSTD_e_continue, { input, consume })
  }

  finish(consume: (chunk: Buffer) => void): void {
    if (this.#ended) return
    this.#run(this.#compression === 'gzip' ? zlib.constants.Z_FINISH : zlib.constants.ZSTD_e_end, { input: nothing, consume })
  }

  close(): void {
    this.#handle.close()
  }

  #run(flush: number, { input, consume }: { input: Buffer; consume: (chunk: Buffer) => void }): void {
    let at = 0
    while (!this.#ended) {
      const left = input.length - at
      this.#handle.writeSync(flush, input, at, left, this.#output, 0, outputBytes)
      if (this.#failure !== undefined) throw archiveError(`its ${this.#compression} data is broken (${this.#failure})`)
      const room = this.#state[0] as number
      const unread = this.#state[1] as number
      if (room < outputBytes) consume(room === 0 ? this.#output : this.#output.subarray(0, outputBytes - room))
      at = input.length - unread
      if (room === 0) continue
      if (unread === 0) return
      // gzip stops reading at zeros after its last member: padding. zstd stops at the end of each frame.
      if (this.#compression === 'gzip') this.#ended = true
      else if (unread === left) throw archiveError('its zstd data is broken')
    }
  }
}

const nothing = Buffer.alloc(0)
