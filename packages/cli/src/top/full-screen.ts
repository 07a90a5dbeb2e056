// The whole terminal for a while: its former content, the cursor and the mode of the keyboard come back however this ends.

export interface Keyboard {
  /** Calls back with each key; Ctrl-C is among them. */
  onKey(listener: (key: string) => void): void
}

const enter = '\u001b[?1049h\u001b[?25l'
const leave = '\u001b[?25h\u001b[?1049l'

export interface FullScreen extends Disposable, Keyboard {
  /** Lines from the top of the screen; what was there is overwritten, not cleared first: nothing flickers. */
  show(lines: readonly string[]): void
}

/** Needs terminals on standard input and output. Ctrl-Z gives the terminal back until `fg`. */
export function fullScreen(): FullScreen {
  const { stdin, stdout } = process
  let open = false
  let latest: readonly string[] = []
  const restore = () => {
    if (!open) return
    open = false
    stdin.setRawMode(false)
    stdout.write(leave)
  }
  const take = () => {
    open = true
    stdin.setRawMode(true)
    stdout.write(enter)
    paint()
  }
  const paint = () => {
    if (open) stdout.write(`\u001b[H${latest.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`)
  }
  // A crash, process.exit, or a signal that somebody else turned into one of them.
  process.on('exit', restore)
  process.on('SIGCONT', take)
  take()
  stdin.resume()
  return {
    show(lines) {
      latest = lines
      paint()
    },
    onKey(listener) {
      stdin.setEncoding('utf8').on('data', (keys: string) => {
        for (const key of keys) {
          if (key !== '\u001a') listener(key)
          else {
            restore()
            process.kill(process.pid, 'SIGSTOP')
          }
        }
      })
    },
    [Symbol.dispose]() {
      process.off('exit', restore)
      process.off('SIGCONT', take)
      restore()
      stdin.pause()
      stdin.removeAllListeners('data')
    },
  }
}
