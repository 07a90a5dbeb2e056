import type { Context } from '../context.ts'
import type { LogEntry } from './cri-log.ts'

export type PrintLogOptions = {
  readonly timestamps?: boolean
  /** Milliseconds since the epoch; entries before are left out. */
  readonly sinceMs?: number | undefined
  /** Ends after so many bytes of messages. */
  readonly limitBytes?: number | undefined
  readonly stream?: 'stdout' | 'stderr' | undefined
}

const NEWLINE = Buffer.from('\n')

/** Writes the entries as the container wrote them, each stream where it belongs; the parts of a line make one line again. */
export async function printLog(
  context: Pick<Context, 'out' | 'err'>,
  entries: AsyncIterable<LogEntry>,
  options: PrintLogOptions = {},
): Promise<void> {
  let leftBytes = options.limitBytes ?? Number.POSITIVE_INFINITY
  const openLines = { stdout: false, stderr: false }
  for await (const { timestamp, stream, partial, message } of entries) {
    if (options.stream && stream !== options.stream) continue
    if (options.sinceMs !== undefined && Date.parse(timestamp) < options.sinceMs) continue
    const prefix = options.timestamps && !openLines[stream] ? [Buffer.from(`${timestamp.replace(/\+00:00$/, 'Z')} `)] : []
    const text = Buffer.concat([...prefix, message, ...(partial ? [] : [NEWLINE])])
    const shown = text.subarray(0, leftBytes)
    const screen = stream === 'stdout' ? context.out : context.err
    screen.write(shown)
    openLines[stream] = partial
    leftBytes -= shown.length
    if (leftBytes <= 0) return
  }
}
