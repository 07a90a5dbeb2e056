// The output of a process, ended some time after the process even if somebody else still holds the pipe.
import { Socket } from 'node:net'
import { PassThrough, Readable } from 'node:stream'

export interface DrainedOutput {
  readonly stream: Readable
  /** From now on the output ends when its writers are gone, or after `ms` without the reader being the reason. */
  endWithin(ms: number): void
  /** At once. */
  close(): void
  readonly closed: Promise<void>
}

/** The reading end of a pipe; `fd` becomes the stream's. */
export const readerOf = (fd: number): Socket => new Socket({ fd, readable: true, writable: false })

/** Backpressure goes through to the writer. An error of `source` is its end. */
export function drainedOutput(source: Socket): DrainedOutput {
  const stream = new PassThrough({ highWaterMark: 64 * 1024 })
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  let timer: NodeJS.Timeout | undefined
  const close = () => {
    clearTimeout(timer)
    source.unpipe(stream)
    source.destroy()
    if (!stream.writableEnded && !stream.destroyed) stream.end()
    resolve()
  }
  source.on('error', close)
  source.once('close', close)
  // A reader that goes away must not leave the writer blocked for ever.
  stream.once('close', close)
  source.pipe(stream)
  const endWithin = (ms: number): void => {
    if (source.destroyed) return
    timer = setTimeout(() => (stream.writableNeedDrain ? endWithin(ms) : close()), ms).unref()
  }
  return { stream, endWithin, close, closed }
}

export function emptyOutput(): DrainedOutput {
  return { stream: Readable.from([]), endWithin: () => {}, close: () => {}, closed: Promise.resolve() }
}
