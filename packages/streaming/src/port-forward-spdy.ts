// Port-forward over SPDY: two streams a connection, tied together by the header `requestID`. Any number of connections.
import type { CodedError } from '@coracle/base/errors'
import { sessionGone } from './channel.ts'
import { forwardConnection } from './port-forward.ts'
import { rstStatus } from './spdy/frames.ts'
import { type SpdyOptions, SpdySession } from './spdy/session.ts'
import type { SpdyStream } from './spdy/stream.ts'
import type { StreamPortForwardRequest, StreamTarget } from './target.ts'
import type { Wire } from './wire.ts'

export const portForwardProtocol = 'portforward.k8s.io'

const MAX_CONNECTIONS = 4096

/** Two streams a connection. A stalled one holds at most its window, so that it takes 32 of them to stop a well-behaved session. */
export const portForwardSession: SpdyOptions = {
  role: 'server',
  maxStreams: 2 * MAX_CONNECTIONS,
  streamWindowBytes: 256 * 1024,
  intakeBytes: 8 * 1024 * 1024,
}

interface HalfPair {
  readonly port: number
  readonly data: SpdyStream | undefined
  readonly error: SpdyStream | undefined
  readonly timer: NodeJS.Timeout
}

export interface PortForwardOptions {
  readonly request: StreamPortForwardRequest
  readonly creationTimeoutMs: number
}

/** Serves the session until it is over. Never rejects. */
export async function servePortForwardSpdy(
  wire: Wire,
  options: PortForwardOptions,
  target: Pick<StreamTarget, 'dial'>,
): Promise<void> {
  const over = Promise.withResolvers<CodedError>()
  const pairs = new Map<string, HalfPair>()
  const connections = new Set<SpdyStream>()
  const session: SpdySession = new SpdySession(wire, portForwardSession, {
    accept: (stream) => acceptStream(stream, pairs, { options, target, session, connections }),
    closed(reason) {
      for (const { timer } of pairs.values()) clearTimeout(timer)
      pairs.clear()
      over.resolve(sessionGone(reason))
    },
  })
  session.start()
  await over.promise
}

interface Context {
  readonly options: PortForwardOptions
  readonly target: Pick<StreamTarget, 'dial'>
  readonly session: SpdySession
  /** Data streams of the connections that are made or open. */
  readonly connections: Set<SpdyStream>
}

function acceptStream(stream: SpdyStream, pairs: Map<string, HalfPair>, context: Context): boolean {
  const type = stream.headers.get('streamtype')?.toLowerCase()
  const port = Number(stream.headers.get('port'))
  if ((type !== 'data' && type !== 'error') || !Number.isInteger(port) || port < 1 || port > 0xffff) return false
  stream.gentle = type === 'error'
  // Streams that were reset no longer count as such, their connections being made still do.
  if (context.connections.size >= MAX_CONNECTIONS) return false
  const id = requestId(stream, type)
  const half = pairs.get(id)
  if (half === undefined) {
    const timer = setTimeout(() => {
      pairs.delete(id)
      context.session.reset(stream, rstStatus.cancel)
      stream.channel.fail(sessionGone('the other stream of the connection did not come'))
    }, context.options.creationTimeoutMs)
    pairs.set(id, { port, timer, data: type === 'data' ? stream : undefined, error: type === 'error' ? stream : undefined })
    return true
  }
  if (half[type] !== undefined || half.port !== port) return false
  clearTimeout(half.timer)
  pairs.delete(id)
  const data = half.data ?? stream
  const error = half.error ?? stream
  // The reply to this stream goes out before anything on it: it is written when this returns, the connection is made later.
  context.connections.add(data)
  setImmediate(() => void forward({ data, error }, port, context).finally(() => context.connections.delete(data)))
  return true
}

// Clients of before the header open the error stream first and the data stream next; ids of one side go up by two.
function requestId(stream: SpdyStream, type: 'data' | 'error'): string {
  return stream.headers.get('requestid') ?? `stream ${type === 'error' ? stream.id : stream.id - 2}`
}

async function forward(
  { data, error }: { data: SpdyStream; error: SpdyStream },
  port: number,
  { options, target, session }: Context,
): Promise<void> {
  if (data.channel.failure !== undefined) return session.forget(error)
  // Aborts the making of a connection whose stream is reset, or whose session ends, meanwhile.
  const given = new AbortController()
  data.channel.readable.once('error', (err) => given.abort(err))
  await forwardConnection(
    { data: data.channel, error: error.channel, halfClose: true },
    { podId: options.request.podId, port },
    { target, signal: given.signal },
  )
  session.forget(data)
  session.forget(error)
}
