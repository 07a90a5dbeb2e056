// Attaching to a container, for `attach`, `run` and `debug`.
import { codeOf } from '@coracle/base/errors'
import { ContainerState } from '@coracle/cri-api'
import type { Context } from '../context.ts'
import { connectOptions, type StreamOptions, transportOf } from './options.ts'
import type { SessionEnd, SessionOptions } from './session.ts'

export type AttachRequest = {
  readonly containerId: string
  readonly stdin: boolean
  readonly tty: boolean
  readonly stream: StreamOptions
}

export type AttachedSession = {
  /** Ties the user's streams to the container until it ends or the user leaves. */
  run(options: SessionOptions): Promise<SessionEnd>
}

/** Connects; output is held back from here on until `run`. */
export async function attachTo(context: Context, request: AttachRequest): Promise<AttachedSession> {
  const { containerId, stdin, tty, stream } = request
  const signal = context.interruption()
  const selection = { tty, stdin, stdout: true, stderr: !tty }
  const [{ url }, { connectAttach }, { runSession }] = await Promise.all([
    context.runtime.attach({ containerId, ...selection }, { signal }),
    import('@coracle/streaming/client'),
    import('./session.ts'),
  ])
  const dial = { ...(await connectOptions(stream, signal)), transport: transportOf(stream), selection }
  const connection = await connectAttach(url, dial)
  return { run: (options) => runSession(connection, options) }
}

const SETTLE_MS = 5_000

/** The exit code of a container whose streams have ended; 0 when it runs on or is gone. */
export async function exitCodeOf({ runtime }: Context, containerId: string): Promise<number> {
  const deadline = performance.now() + SETTLE_MS
  for (;;) {
    try {
      const { status } = await runtime.containerStatus({ containerId })
      if (status?.state === ContainerState.CONTAINER_EXITED) return status.exitCode
    } catch (err) {
      if (codeOf(err) === 'not_found') return 0
      throw err
    }
    // The streams end a moment before the exit is known.
    if (performance.now() > deadline) return 0
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
