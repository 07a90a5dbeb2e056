// Terminal sizes as they come: a stream of JSON objects, cut anywhere. Only the last of a burst counts.
import type { TerminalSize } from './target.ts'

const MAX_OBJECT_BYTES = 1024
const EVERY_MS = 20

export class ResizeFeed {
  #text = ''
  #latest: TerminalSize | undefined
  #listener: ((size: TerminalSize) => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  /** Bytes from the client. What is no size (both numbers from 1 to 65535) is ignored. */
  push(chunk: Buffer): void {
    this.#text += chunk.toString('latin1')
    for (let end = this.#text.indexOf('}'); end >= 0; end = this.#text.indexOf('}')) {
      const size = parseSize(this.#text.slice(0, end + 1))
      this.#text = this.#text.slice(end + 1)
      if (size !== undefined) this.#set(size)
    }
    if (this.#text.length > MAX_OBJECT_BYTES) this.#text = ''
  }

  listen(listener: (size: TerminalSize) => void): void {
    this.#listener = listener
    this.#tell()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#listener = undefined
  }

  #set(size: TerminalSize): void {
    this.#latest = size
    if (this.#timer === undefined) this.#tell()
  }

  /** Tells the latest size at once, then nothing for a while; what comes meanwhile is told at its end. */
  #tell(): void {
    if (this.#stopped || this.#listener === undefined || this.#latest === undefined) return
    const size = this.#latest
    this.#latest = undefined
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#tell()
    }, EVERY_MS)
    this.#listener(size)
  }
}

function parseSize(text: string): TerminalSize | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('Width' in value) || !('Height' in value)) return undefined
    const { Width: columns, Height: rows } = value
    return isDimension(columns) && isDimension(rows) ? { columns, rows } : undefined
  } catch {
    return undefined
  }
}

const isDimension = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 0xffff
