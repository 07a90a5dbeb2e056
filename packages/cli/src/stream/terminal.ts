// The user's terminal: handed to the remote side byte for byte, and always given back.
import type { TerminalSize } from '@coracle/streaming/client'

/**
 * Puts the terminal on standard input into raw mode; does nothing when it is none. Disposing restores it, and so does the end of
 * this process by any way but SIGKILL.
 */
export function rawTerminal(): Disposable {
  const { stdin } = process
  if (!stdin.isTTY) return { [Symbol.dispose]: () => undefined }
  const restore = () => void stdin.setRawMode(false)
  // An error, process.exit, or a signal that somebody else turned into one of them.
  process.on('exit', restore)
  stdin.setRawMode(true)
  return {
    [Symbol.dispose]: () => {
      process.off('exit', restore)
      restore()
    },
  }
}

/** Tells the size of the terminal now and whenever it changes. */
export function followSize(tell: (size: TerminalSize) => void): Disposable {
  const { stdout } = process
  if (!stdout.isTTY) return { [Symbol.dispose]: () => undefined }
  const report = () => tell({ columns: stdout.columns, rows: stdout.rows })
  report()
  stdout.on('resize', report)
  return { [Symbol.dispose]: () => void stdout.off('resize', report) }
}
