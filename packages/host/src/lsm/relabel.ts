// The daemon's side of the relabelling program.
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Processes } from '../host.ts'
import type { RelabelCounts } from './relabel-walk.ts'

export type { RelabelCounts }

export interface RelabelTask {
  /** Without links. */
  readonly path: string
  readonly label: string
  /** The extended attribute: security.selinux. */
  readonly attribute: string
  /** What an earlier run knew: which tree it was, where it came to, whether it came to the end. */
  readonly identity?: string
  readonly after: readonly string[]
  readonly finished: boolean
  /** How often the program tells where it is. */
  readonly reportMs?: number
}

export type RelabelMessage =
  | { readonly identity: string; readonly after: readonly string[] }
  | { readonly identity: string; readonly counts: RelabelCounts }

export interface RelabelOptions {
  /** So long without a word means that the volume does not answer. */
  readonly stallMs: number
  /** Called with each position, for the next run. */
  readonly onPosition: (identity: string, after: readonly string[]) => void
}

const program = fileURLToPath(new URL('./relabel-program.ts', import.meta.url))

/**
 * Runs the program to its end. Throws `deadline_exceeded` when the volume stops answering, `failed_precondition` with the kernel's word when it
 * refuses; what was done stays done.
 */
export async function runRelabel(
  processes: Pick<Processes, 'start'>,
  { task, stallMs, onPosition }: RelabelOptions & { readonly task: RelabelTask },
  signal: AbortSignal,
): Promise<{ readonly identity: string; readonly counts: RelabelCounts }> {
  signal.throwIfAborted()
  const argv = [process.execPath, '--disable-warning=ExperimentalWarning', '--max-semi-space-size=1', program] as const
  await using child = await processes.start({ argv, stdio: ['pipe', 'pipe', 'pipe'] })
  // They were asked for as pipes.
  const [stdin, stdout, stderr] = child.stdio as [Writable, Readable, Readable]
  stdin.on('error', () => {})
  stdin.end(`${JSON.stringify(task)}\n`)
  let words = ''
  stderr.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-1000)
  })
  const what = `relabel ${quote(task.path)}`
  const stalled = new CodedError('deadline_exceeded', `${what}: no progress within ${stallMs} ms`)
  const watchdog = Promise.withResolvers<never>()
  watchdog.promise.catch(() => {})
  const onAbort = () => watchdog.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const timer = setTimeout(() => watchdog.reject(stalled), stallMs)
  try {
    const ended = readAll(stdout, (message) => {
      timer.refresh()
      if ('after' in message) onPosition(message.identity, message.after)
    })
    const result = await Promise.race([ended, watchdog.promise])
    if (result !== undefined) return result
    await Promise.race([child.exited, watchdog.promise])
    throw new CodedError('failed_precondition', `${what}: ${words || 'the program ended early'}`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

/** The last message; undefined when there was none. */
async function readAll(stdout: Readable, onMessage: (message: RelabelMessage) => void) {
  for await (const line of createInterface({ input: stdout })) {
    // The program is ours.
    const message = JSON.parse(line) as RelabelMessage
    onMessage(message)
    if ('counts' in message) return message
  }
  return undefined
}
