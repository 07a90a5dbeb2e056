// One forwarded connection: a data and an error stream of the client on one side, a socket in the pod on the other.
import type { Duplex } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { explain } from '@coracle/base/errors'
import type { Channel } from './channel.ts'
import type { StreamTarget } from './target.ts'

export interface ForwardedPair {
  readonly data: Channel
  readonly error: Channel
  /** Whether the client can close its half alone. If not, the connection ends when the pod ends its own. */
  readonly halfClose: boolean
}

export interface ForwardDestination {
  readonly podId: string
  readonly port: number
}

/** Carries one connection to its end and flushes it. A failure is told on the pair's own error stream; never rejects. */
export async function forwardConnection(
  pair: ForwardedPair,
  to: ForwardDestination,
  deps: { readonly target: Pick<StreamTarget, 'dial'>; readonly signal: AbortSignal },
): Promise<void> {
  pair.error.discardInput()
  try {
    await splice(await deps.target.dial(to.podId, to.port, deps.signal), pair)
  } catch (err) {
    pair.data.discardInput()
    pair.error.writable.write(`error forwarding port ${to.port} to pod ${to.podId}: ${explain(err)}`)
  }
  const halves = [pair.data.writable, pair.error.writable]
  for (const half of halves) if (!half.writableEnded) half.end()
  await Promise.allSettled(halves.map((half) => finished(half)))
}

/**
 * Both directions until both have ended. Never rejects: a connection that breaks in the pod is no failure of forwarding, the client
 * sees its data stream reset as it would see the connection reset.
 */
async function splice(socket: Duplex, pair: ForwardedPair): Promise<void> {
  const fromPod = pipeline(socket, pair.data.writable)
  const toPod = pipeline(pair.data.readable, socket)
  const podEnds = pair.halfClose ? fromPod : fromPod.finally(() => pair.data.readable.destroy())
  await Promise.allSettled([podEnds, toPod])
  socket.destroy()
}
