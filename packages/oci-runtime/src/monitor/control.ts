// conmon's control fifo: one line a message.
import { closeSync, constants, fchmodSync, openSync, writeSync } from 'node:fs'
import { isErrno } from '@coracle/base/errno'
import { precondition } from '@coracle/base/errors'
import { delay, timeoutError } from '@coracle/base/signals'
import { filesOf } from '../files.ts'
import { clearReopenFile, identifyFile, prepareReopen, sameFile } from '../log-file.ts'
import type { ContainerPaths } from '../oci-runtime.ts'

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/**
 * conmon up to 2.1.12 reads up to 199 bytes at once and, of several lines in one read, obeys the first one several times.
 * A message of exactly that length is always read alone.
 */
const messageBytes = 199

export const controlMessage = (kind: 1 | 2, a: number, b: number): string => `${`${kind} ${a} ${b}`.padEnd(messageBytes - 1)}\n`

/** Throws `failed_precondition` when no monitor has the fifo open. Never waits. */
function open(control: string): number {
  try {
    return openSync(control, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (err) {
    if (isErrno(err, 'ENXIO', 'ENOENT')) throw precondition('the monitor of the container is gone')
    throw err
  }
}

function send(control: string, message: string): void {
  const fd = open(control)
  try {
    // Shorter than PIPE_BUF: written whole or not at all (pipe(7)).
    writeSync(fd, message)
  } catch (err) {
    if (isErrno(err, 'EAGAIN', 'EPIPE')) throw precondition('the monitor of the container does not listen')
    throw err
  } finally {
    closeSync(fd)
  }
}

// The same mistake once more inside conmon, between its control fifo and its terminal: sizes need a distance, and the last one is repeated.
const resizeDistanceMs = 25

/** Sizes of one terminal: a storm of them is coalesced, the last one wins. */
export class Resizer {
  readonly #control: string
  #wanted: TerminalSize | undefined
  #running: Promise<void> | undefined

  constructor(control: string) {
    this.#control = control
  }

  /** Resolves when a size at least as new as this one was handed over. */
  resize(size: TerminalSize): Promise<void> {
    this.#wanted = size
    this.#running ??= this.#run().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #run(): Promise<void> {
    let last: TerminalSize | undefined
    for (;;) {
      const size = this.#wanted ?? last
      if (size === undefined) return
      const repeated = this.#wanted === undefined
      this.#wanted = undefined
      send(this.#control, controlMessage(1, size.rows, size.columns))
      if (repeated) return
      last = size
      await delay(resizeDistanceMs)
    }
  }
}

const reopenPollMs = 2

/**
 * Has the monitor make the log anew. It does so between two reads of the container's output, so no record is torn.
 * Throws `failed_precondition` when the monitor is gone, `deadline_exceeded` when it does not answer.
 */
export async function reopenLog(
  paths: ContainerPaths,
  logPath: string,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<void> {
  const before = identifyFile(logPath)
  const { control } = filesOf(paths)
  const startedAt = performance.now()
  // Before anything is made: an ended container gets no new log.
  closeSync(open(control))
  prepareReopen(logPath)
  try {
    send(control, controlMessage(2, 0, 0))
    for (;;) {
      // It may end before it reads the message.
      closeSync(open(control))
      const now = identifyFile(logPath)
      if (now !== undefined && !sameFile(now, before)) break
      if (performance.now() - startedAt > options.timeoutMs) throw timeoutError('reopening the log', options.timeoutMs)
      await delay(reopenPollMs, options.signal)
    }
  } catch (err) {
    clearReopenFile(logPath)
    throw err
  }
  permit(logPath)
}

function permit(logPath: string): void {
  const fd = openSync(logPath, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    fchmodSync(fd, 0o640)
  } finally {
    closeSync(fd)
  }
}
