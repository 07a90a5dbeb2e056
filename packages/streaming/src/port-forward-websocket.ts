// Port-forward over WebSocket: one connection a port, on two channels; and SPDY tunnelled through WebSocket messages.
import { sessionGone } from './channel.ts'
import { forwardConnection } from './port-forward.ts'
import { type PortForwardOptions, servePortForwardSpdy } from './port-forward-spdy.ts'
import type { StreamPortForwardRequest, StreamTarget } from './target.ts'
import { type ChannelProtocol, ChannelSession } from './websocket/channels.ts'
import { closeCode, WebSocketConnection } from './websocket/connection.ts'
import { tunnelWire } from './websocket/tunnel.ts'
import type { Wire } from './wire.ts'

export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io'

/** By the name in Sec-WebSocket-Protocol; `` is a client that asked for none. */
export const webSocketForwardProtocols: Readonly<Record<string, ChannelProtocol>> = {
  '': { base64: false, halfClose: false },
  'v4.channel.k8s.io': { base64: false, halfClose: false },
  'v4.base64.channel.k8s.io': { base64: true, halfClose: false },
}

/** Two channels a port, numbered by one byte. */
export const MAX_WEBSOCKET_PORTS = 127
const INTAKE_BYTES = 4 * 1024 * 1024

/** Serves the session until it is over. Never rejects. */
export async function servePortForwardWebSocket(
  wire: Wire,
  context: { readonly request: StreamPortForwardRequest; readonly protocol: ChannelProtocol },
  target: Pick<StreamTarget, 'dial'>,
): Promise<void> {
  const gone = new AbortController()
  const connection = new WebSocketConnection(wire, 'server', INTAKE_BYTES)
  const session = new ChannelSession(connection, context.protocol)
  const pairs = context.request.ports.map((port, index) => ({
    port,
    data: session.channel(index * 2),
    error: session.channel(index * 2 + 1),
    halfClose: false,
  }))
  for (const { port, data, error } of pairs) {
    const first = Buffer.alloc(2)
    first.writeUInt16LE(port)
    data.writable.write(first)
    error.writable.write(first)
  }
  session.start((reason) => gone.abort(sessionGone(reason)))
  await Promise.all(
    pairs.map((pair) =>
      forwardConnection(pair, { podId: context.request.podId, port: pair.port }, { target, signal: gone.signal }),
    ),
  )
  connection.close(closeCode.normal)
}

/** A SPDY session whose bytes travel in binary messages. Never rejects. */
export async function serveTunnelledPortForward(
  wire: Wire,
  options: PortForwardOptions,
  target: Pick<StreamTarget, 'dial'>,
): Promise<void> {
  await servePortForwardSpdy(tunnelWire(new WebSocketConnection(wire, 'server', INTAKE_BYTES)), options, target)
}
