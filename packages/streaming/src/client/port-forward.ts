// Clients of port-forward.
import type { Readable, Writable } from 'node:stream'
import { CodedError, precondition } from '@coracle/base/errors'
import { type Channel, sessionGone } from '../channel.ts'
import { portForwardProtocol, portForwardSession } from '../port-forward-spdy.ts'
import { tunnelProtocol, webSocketForwardProtocols } from '../port-forward-websocket.ts'
import { SpdySession } from '../spdy/session.ts'
import { ChannelSession } from '../websocket/channels.ts'
import { WebSocketConnection } from '../websocket/connection.ts'
import { tunnelWire } from '../websocket/tunnel.ts'
import type { Wire } from '../wire.ts'
import { type ConnectOptions, upgradeToSpdy, upgradeToWebSocket } from './upgrade.ts'

/** `tunnel`: SPDY inside WebSocket. `websocket`: one connection a port in the whole session. */
export type PortForwardTransport = 'spdy' | 'tunnel' | 'websocket'

export interface PortForwardConnectOptions extends ConnectOptions {
  readonly transport: PortForwardTransport
  /** For `websocket`: the ports of the request the URL was made for. */
  readonly ports?: readonly number[]
  /** For `websocket`: names in order of preference. */
  readonly protocols?: readonly string[]
}

/** One connection to a port of the pod. */
export interface ForwardedConnection {
  readonly readable: Readable
  readonly writable: Writable
  /** Resolves when the server is done with the connection. Rejects with `unavailable` and the server's words when it failed. */
  readonly done: Promise<void>
}

export interface PortForwardConnection {
  /** The protocol the server chose. */
  readonly protocol: string
  /** Throws `canceled` when the session is over; `failed_precondition` for a port that `websocket` cannot give (again). */
  open(port: number): ForwardedConnection
  /** Resolves with the reason when the session is over. */
  readonly closed: Promise<string>
  close(): void
}

/** Connects to the URL of a PortForward reply. Throws by HTTP status, see `upgradeToSpdy`. */
export async function connectPortForward(url: string, options: PortForwardConnectOptions): Promise<PortForwardConnection> {
  if (options.transport === 'spdy') {
    const { wire, protocol } = await upgradeToSpdy(url, [portForwardProtocol], options)
    return overSpdy(wire, protocol)
  }
  if (options.transport === 'tunnel') {
    const { wire, protocol } = await upgradeToWebSocket(url, [tunnelProtocol], options)
    return overSpdy(tunnelWire(new WebSocketConnection(wire, 'client', portForwardSession.intakeBytes)), protocol)
  }
  return await overChannels(url, options)
}

function overSpdy(wire: Wire, protocol: string): PortForwardConnection {
  const closed = Promise.withResolvers<string>()
  const session = new SpdySession(
    wire,
    { ...portForwardSession, role: 'client', maxStreams: 0 },
    { accept: () => false, closed: closed.resolve },
  )
  session.start()
  let requests = 0
  return {
    protocol,
    closed: closed.promise,
    close: () => session.destroy('closed by the client'),
    open(port) {
      const headers = { port: String(port), requestid: String(requests++) }
      const error = session.open(new Map(Object.entries({ streamtype: 'error', ...headers })))
      error.gentle = true
      // Nothing is ever written on it; servers wait for its end before they forget it.
      error.channel.writable.end()
      const data = session.open(new Map(Object.entries({ streamtype: 'data', ...headers })))
      return connectionOf(data.channel, error.channel)
    },
  }
}

/** `first`: the first piece on the error stream is the failure. A WebSocket channel has no end of its own to wait for. */
function connectionOf(data: Channel, error: Channel, first = false): ForwardedConnection {
  const done = readFailure(error, first)
  done.catch(() => undefined)
  return { readable: data.readable, writable: data.writable, done }
}

const MAX_MESSAGE_CHARACTERS = 64 * 1024

async function readFailure(error: Channel, first: boolean): Promise<void> {
  let message = ''
  for await (const chunk of error.readable) {
    // A readable without an encoding gives buffers.
    message = (message + (chunk as Buffer).toString('utf8')).slice(0, MAX_MESSAGE_CHARACTERS)
    if (first) break
  }
  if (message !== '') throw new CodedError('unavailable', message)
}

const PORT_BYTES = 2

/** Each channel begins with its port as 16 bits, low byte first; open connections are those not yet handed out. */
async function overChannels(url: string, options: PortForwardConnectOptions): Promise<PortForwardConnection> {
  const names = options.protocols ?? Object.keys(webSocketForwardProtocols).reverse()
  const { wire, protocol } = await upgradeToWebSocket(
    url,
    names.filter((name) => name !== ''),
    options,
  )
  const known = webSocketForwardProtocols[protocol]
  if (known === undefined) {
    wire.destroy()
    throw sessionGone(`server chose the unknown protocol ${protocol}`)
  }
  const connection = new WebSocketConnection(wire, 'client', portForwardSession.intakeBytes)
  const session = new ChannelSession(connection, known)
  const unused = (options.ports ?? []).map((port, index) => {
    const data = session.channel(index * 2, PORT_BYTES)
    const error = session.channel(index * 2 + 1, PORT_BYTES)
    return { port, connection: connectionOf(data, error, true) }
  })
  const closed = Promise.withResolvers<string>()
  session.start(closed.resolve)
  return {
    protocol,
    closed: closed.promise,
    close: () => connection.leave(),
    open(port) {
      const index = unused.findIndex((entry) => entry.port === port)
      const [entry] = index < 0 ? [] : unused.splice(index, 1)
      if (entry === undefined) throw precondition(`port ${port} is not free in this session, which has one connection a port`)
      return entry.connection
    },
  }
}
