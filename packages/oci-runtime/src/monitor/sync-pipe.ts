// What conmon tells its parent: one line of JSON each, `{"pid": 123}` or `{"pid": -1, "message": "…"}` (`data` for execs).
import type { Readable } from 'node:stream'
import { isObject } from '@coracle/base/parse-json'

export interface MonitorReport {
  /** A pid, or an exit code, or negative for a failure. */
  readonly value: number
  readonly message: string | undefined
}

const maxLineBytes = 64 * 1024

/** Undefined when the line is none of conmon's. conmon leaves some control characters unescaped, and may cut UTF-8. */
export function parseReport(line: string): MonitorReport | undefined {
  try {
    const value: unknown = JSON.parse(line.replace(/[\0-\x1f\x7f]/g, ' '))
    if (!isObject(value)) return undefined
    const number = value['pid'] ?? value['data'] ?? value['exit_code']
    if (typeof number !== 'number' || !Number.isInteger(number)) return undefined
    return { value: number, message: typeof value['message'] === 'string' ? value['message'] : undefined }
  } catch {
    return lenient(line)
  }
}

// A message with a broken escape is still worth showing.
function lenient(line: string): MonitorReport | undefined {
  const match = /^\{"(?:pid|data|exit_code)": (-?\d+)(?:, "message": "(.*)"\})?/s.exec(line)
  return match === null ? undefined : { value: Number(match[1]), message: match[2] }
}

/** Reads reports one after another. */
export class SyncPipe {
  readonly #stream: Readable
  #text = ''
  #ended = false
  #wake: (() => void) | undefined

  constructor(stream: Readable) {
    this.#stream = stream
    stream.setEncoding('utf8')
    const wake = () => this.#wake?.()
    const end = () => {
      this.#ended = true
      wake()
    }
    stream.on('data', (text: string) => {
      if (this.#text.length < maxLineBytes) this.#text += text
      wake()
    })
    stream.once('end', end)
    stream.once('close', end)
    stream.on('error', end)
  }

  /** The next report; undefined when the monitor ended without one. Aborted by closing the pipe. */
  async next(): Promise<MonitorReport | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 1)
        const report = parseReport(line)
        if (report !== undefined) return report
      } else if (this.#ended) return undefined
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  close(): void {
    this.#stream.destroy()
  }
}
