// gzip by Intel's ISA-L, a shared library that the operator may install (Debian: libisal2): half of zlib's time. Only the head of its state
// is touched; the rest is its own. Before it is trusted it has to read two members in odd pieces and to refuse a wrong checksum.
import { createRequire } from 'node:module'
import zlib, { gzipSync } from 'node:zlib'
import type { Finding } from './preflight.ts'

type Koffi = typeof import('koffi').default

const isalLibrary = 'libisal.so.2'

/** One gzip stream being read. Memory of its own: `input` and `output` must not move, which Buffers do not. */
export interface GzipReader {
  /** Bytes of the last input that were not read. */
  readonly unread: number
  /** The member has ended, with its checksum right; `unread` bytes follow it. */
  readonly ended: boolean
  /** Takes the next bytes. All that was given before must have been read. */
  give(input: Buffer): void
  /** Fills `output` as far as what was given goes; returns how many bytes, or -1 when the data is broken. */
  read(output: Buffer): number
  /** Begins another member with what was not read. */
  restart(): void
}

// igzip_lib.h of version 2, struct inflate_state (87,368 bytes) and its constants.
const at = { nextOut: 0, availOut: 8, nextIn: 16, availIn: 32, blockState: 21_160, crcFlag: 21_172 } as const
const stateBytes = 128 * 1024
const usedBytes = 96 * 1024
const blockFinish = 5
const gzipFlag = 1

/** Undefined when the library is not installed, or is not as we know it. */
export function loadIsal(): (() => GzipReader) | undefined {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    const library = koffi.load(isalLibrary)
    const calls: Calls = {
      init: library.func('void isal_inflate_init(void *state)'),
      reset: library.func('void isal_inflate_reset(void *state)'),
      inflate: library.func('int isal_inflate(void *state)'),
      address: (buffer) => koffi.address(buffer),
    }
    const create = () => new IsalReader(calls)
    return proves(create) ? create : undefined
  } catch {
    return undefined
  }
}

/** The checksum of gzip over more data, as `zlib.crc32`. */
export type Crc32 = (data: Buffer, crc: number) => number

// Below this a call of the library costs more than it saves.
const worthACallBytes = 16 * 1024

/** `zlib.crc32`, by the library where it is installed and agrees with it: a tenth of the time. */
export function loadCrc32(): Crc32 {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    const crc32 = koffi.load(isalLibrary).func('uint32_t crc32_gzip_refl(uint32_t crc, const void *data, uint64_t bytes)')
    const sample = Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * i) ^ (i >> 3)))
    const agrees = [0, 1, 15, 16, 255, 2000].every(
      (end) => crc32(7, sample.subarray(0, end), end) === zlib.crc32(sample.subarray(0, end), 7),
    )
    if (agrees) return (data, crc) => (data.length < worthACallBytes ? zlib.crc32(data, crc) : crc32(crc, data, data.length))
  } catch {
    // Not installed, or without it.
  }
  return zlib.crc32
}

/** For `doctor`: never more than a hint, as zlib does the same. */
export function checkGzip(): Finding {
  const check = 'gzip library'
  if (loadIsal() !== undefined) return { check, state: 'ok', detail: `${isalLibrary}: layers in gzip take half of zlib's time` }
  const detail = `${isalLibrary} is not installed: layers in gzip are read by zlib`
  return { check, state: 'ok', detail, remedy: 'install libisal2 for faster pulls' }
}

interface Calls {
  readonly init: (state: Buffer) => void
  readonly reset: (state: Buffer) => void
  readonly inflate: (state: Buffer) => number
  readonly address: (buffer: Buffer) => bigint
}

class IsalReader implements GzipReader {
  readonly #calls: Calls
  readonly #state: Buffer = Buffer.from(new ArrayBuffer(stateBytes))
  readonly #view = new DataView(this.#state.buffer)
  /** Held, so that it lives as long as the library points to it. */
  #input: Buffer | undefined

  constructor(calls: Calls) {
    this.#calls = calls
    calls.init(this.#state)
    this.#view.setUint32(at.crcFlag, gzipFlag, true)
  }

  get unread(): number {
    return this.#view.getUint32(at.availIn, true)
  }

  get ended(): boolean {
    return this.#view.getUint32(at.blockState, true) === blockFinish
  }

  /** Whether the library kept to the memory that we know it to need. */
  get tidy(): boolean {
    return this.#state.subarray(usedBytes).every((byte) => byte === 0)
  }

  give(input: Buffer): void {
    this.#input = input
    // The address of nothing is of no use to anybody.
    this.#view.setBigUint64(at.nextIn, input.length === 0 ? 0n : this.#calls.address(input), true)
    this.#view.setUint32(at.availIn, input.length, true)
  }

  read(output: Buffer): number {
    this.#view.setBigUint64(at.nextOut, this.#calls.address(output), true)
    this.#view.setUint32(at.availOut, output.length, true)
    if (this.#calls.inflate(this.#state) !== 0) return -1
    return output.length - this.#view.getUint32(at.availOut, true)
  }

  restart(): void {
    const input = this.#input
    const { unread } = this
    this.#calls.reset(this.#state)
    this.#view.setUint32(at.crcFlag, gzipFlag, true)
    if (input !== undefined) this.give(input.subarray(input.length - unread))
  }
}

function proves(create: () => IsalReader): boolean {
  const content = Buffer.from(Array.from({ length: 5000 }, (_, i) => ((i * i) % 251) ^ (i >> 7)))
  const member = gzipSync(content)
  const found = readAll(create, Buffer.concat([member, member]))
  if (found === undefined || !found.equals(Buffer.concat([content, content]))) return false
  const broken = Buffer.from(member)
  broken[broken.length - 8] = (broken[broken.length - 8] as number) ^ 1
  return readAll(create, broken) === undefined
}

function readAll(create: () => IsalReader, data: Buffer): Buffer | undefined {
  const reader = create()
  const output = Buffer.allocUnsafeSlow(1000)
  const found: Buffer[] = []
  for (let start = 0; start < data.length; start += 177) {
    reader.give(data.subarray(start, start + 177))
    for (;;) {
      const count = reader.read(output)
      if (count < 0) return undefined
      found.push(Buffer.from(output.subarray(0, count)))
      if (reader.ended && reader.unread > 0) reader.restart()
      else if (count < output.length) break
    }
  }
  return reader.ended && reader.tidy ? Buffer.concat(found) : undefined
}
