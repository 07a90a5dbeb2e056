// The client of an exec or attach, whichever protocol it speaks: its ends of the stdio, and how it is told the end.
import { finished } from 'node:stream/promises'
import { abortable } from '@coracle/base/signals'
import { type Channel, sessionGone } from './channel.ts'
import { type CommandEnd, statusMessage } from './exit-status.ts'
import { ResizeFeed } from './resize.ts'
import type { ClientStreams } from './target.ts'

export interface RemoteCommandClient {
  readonly streams: ClientStreams
  /** Aborts when the session is over, for whatever reason. */
  readonly gone: AbortSignal
  /** Flushes the output, then reports the end, then closes the session in order. Never rejects. */
  end(end: CommandEnd): Promise<void>
}

export interface CommandChannels {
  readonly stdin: Channel | undefined
  readonly stdout: Channel | undefined
  readonly stderr: Channel | undefined
  readonly error: Channel
}

export interface CommandSession {
  /** Whether the end is told as JSON (v4 and later). */
  readonly jsonStatus: boolean
  readonly resize: ResizeFeed
  readonly gone: AbortSignal
  /** Closes in order, behind everything written. */
  finish(): void
  /** Closes at once. */
  cut(): void
}

const FLUSH_FAILED_MS = 5_000

export function commandClient(channels: CommandChannels, session: CommandSession): RemoteCommandClient {
  const stdout = channels.stdout?.writable
  const stderr = channels.stderr?.writable
  return {
    gone: session.gone,
    streams: {
      stdin: channels.stdin?.readable,
      stdout,
      stderr,
      onResize: (listener) => session.resize.listen(listener),
    },
    async end(end) {
      session.resize.stop()
      channels.stdin?.discardInput()
      for (const output of [stdout, stderr]) if (output !== undefined && !output.writableEnded) output.end()
      // A target may have destroyed one of them, and the client may be gone: both end the waiting.
      const flushed = Promise.allSettled([stdout, stderr].map((output) => output && finished(output)))
      // A client that is turned away because it does not read is not waited for either.
      if (end.kind === 'failed') await abortable(flushed, AbortSignal.timeout(FLUSH_FAILED_MS)).catch(() => session.cut())
      else await flushed
      if (session.gone.aborted) return
      const message = statusMessage(end, session.jsonStatus)
      const error = channels.error.writable
      error.end(message)
      await finished(error).catch(() => undefined)
      session.finish()
    },
  }
}

/** What every session of this kind has besides its channels. */
export function sessionLife(): { resize: ResizeFeed; gone: AbortSignal; closed: (reason: string) => void } {
  const resize = new ResizeFeed()
  const controller = new AbortController()
  return {
    resize,
    gone: controller.signal,
    closed: (reason) => {
      resize.stop()
      controller.abort(sessionGone(reason))
    },
  }
}
