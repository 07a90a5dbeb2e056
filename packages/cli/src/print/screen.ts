// A place to write to, which knows whether a person looks at it.
import type { WriteStream } from 'node:tty'

export type Paint = 'red' | 'green' | 'yellow' | 'blue' | 'dim' | 'bold'

const CODES: Record<Paint, string> = { red: '31', green: '32', yellow: '33', blue: '34', dim: '2', bold: '1' }

export type Screen = {
  readonly isTerminal: boolean
  readonly columns: number
  write(text: string | Uint8Array): void
  line(text?: string): void
  /** The text in colour on a terminal, unchanged elsewhere. */
  paint(paint: Paint, text: string): string
}

/** @param colour false turns colour off even on a terminal (NO_COLOR). */
export function screenOn(stream: NodeJS.WriteStream | WriteStream, colour: boolean): Screen {
  const isTerminal = stream.isTTY === true
  return {
    isTerminal,
    get columns() {
      return stream.columns || 80
    },
    write: (text) => void stream.write(text),
    line: (text = '') => void stream.write(`${text}\n`),
    paint: (paint, text) => (isTerminal && colour ? `\u001b[${CODES[paint]}m${text}\u001b[0m` : text),
  }
}

/** Collects what is written: for tests. */
export function memoryScreen(): Screen & { text: () => string } {
  let text = ''
  return {
    isTerminal: false,
    columns: 80,
    write: (part) => {
      text += typeof part === 'string' ? part : Buffer.from(part).toString()
    },
    line: (part = '') => {
      text += `${part}\n`
    },
    paint: (_paint, part) => part,
    text: () => text,
  }
}
