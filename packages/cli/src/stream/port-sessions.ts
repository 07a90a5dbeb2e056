// Where the connections of a port-forward go: one session for all of them where the runtime can, else one for each.
import { codeOf } from '@coracle/base/errors'
import type { ForwardedConnection, PortForwardConnection } from '@coracle/streaming/client'
import type { Context } from '../context.ts'
import { connectOptions, type StreamOptions, transportOf } from './options.ts'

export interface PortSessions {
  open(port: number): Promise<ForwardedConnection>
  /** Resolves with the reason when no more connections can be opened; never with a session for each connection. */
  readonly closed: Promise<string>
  close(): void
}

export type PortSessionsRequest = {
  readonly podSandboxId: string
  readonly ports: readonly number[]
  readonly stream: StreamOptions
}

/** @throws what the runtime says to the request, `unavailable` when its stream server cannot be reached. */
export async function openPortSessions(context: Context, request: PortSessionsRequest): Promise<PortSessions> {
  const signal = context.interruption()
  const { podSandboxId, stream } = request
  const [options, { connectPortForward }] = await Promise.all([
    connectOptions(stream, signal),
    import('@coracle/streaming/client'),
  ])
  const connect = async (transport: 'spdy' | 'tunnel' | 'websocket', ports: readonly number[]) => {
    const { url } = await context.runtime.portForward({ podSandboxId, port: [...ports] }, { signal })
    return await connectPortForward(url, { ...options, transport, ports })
  }
  if (transportOf(stream) === 'spdy') return shared(await connect('spdy', request.ports))
  try {
    return shared(await connect('tunnel', request.ports))
  } catch (err) {
    // Servers before Kubernetes 1.31 do not carry SPDY in WebSocket.
    if (!['invalid_argument', 'permission_denied', 'unavailable', 'canceled'].includes(codeOf(err))) throw err
  }
  return separate((port) => connect('websocket', [port]))
}

const shared = (session: PortForwardConnection): PortSessions => ({
  open: async (port) => session.open(port),
  closed: session.closed,
  close: () => session.close(),
})

function separate(connect: (port: number) => Promise<PortForwardConnection>): PortSessions {
  const sessions = new Set<PortForwardConnection>()
  return {
    async open(port) {
      const session = await connect(port)
      sessions.add(session)
      const connection = session.open(port)
      const leave = () => {
        sessions.delete(session)
        session.close()
      }
      connection.done.then(leave, leave)
      return connection
    },
    closed: new Promise(() => undefined),
    close() {
      for (const session of sessions) session.close()
    },
  }
}
