// Exec and attach over WebSocket: five fixed channels.
import { commandClient, type RemoteCommandClient, sessionLife } from './remote-command.ts'
import type { StdioSelection } from './target.ts'
import { type ChannelProtocol, ChannelSession } from './websocket/channels.ts'
import { closeCode, WebSocketConnection } from './websocket/connection.ts'
import type { Wire } from './wire.ts'

export const commandChannel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const

export interface WebSocketCommandProtocol extends ChannelProtocol {
  readonly jsonStatus: boolean
}

/** By the name in Sec-WebSocket-Protocol; `` is a client that asked for none. */
export const webSocketCommandProtocols: Readonly<Record<string, WebSocketCommandProtocol>> = {
  '': { base64: false, halfClose: false, jsonStatus: false },
  'channel.k8s.io': { base64: false, halfClose: false, jsonStatus: false },
  'base64.channel.k8s.io': { base64: true, halfClose: false, jsonStatus: false },
  'v4.channel.k8s.io': { base64: false, halfClose: false, jsonStatus: true },
  'v4.base64.channel.k8s.io': { base64: true, halfClose: false, jsonStatus: true },
  'v5.channel.k8s.io': { base64: false, halfClose: true, jsonStatus: true },
}

/** Received but unread in one session. */
const INTAKE_BYTES = 1024 * 1024

export function acceptWebSocketCommand(
  wire: Wire,
  selection: StdioSelection,
  protocol: WebSocketCommandProtocol,
): RemoteCommandClient {
  const life = sessionLife()
  const connection = new WebSocketConnection(wire, 'server', INTAKE_BYTES)
  const session = new ChannelSession(connection, protocol)
  const stdin = selection.stdin ? session.channel(commandChannel.stdin) : undefined
  const stdout = selection.stdout ? session.channel(commandChannel.stdout) : undefined
  const stderr = selection.stderr ? session.channel(commandChannel.stderr) : undefined
  const error = session.channel(commandChannel.error)
  const resize = session.channel(commandChannel.resize)
  resize.readable.on('data', (chunk: Buffer) => life.resize.push(chunk))
  // Tells the client that the session is up, before there is any output.
  session.sendEmpty((stdout ?? stderr ?? error).key)
  session.start(life.closed)
  return commandClient(
    { stdin, stdout, stderr, error },
    {
      jsonStatus: protocol.jsonStatus,
      resize: life.resize,
      gone: life.gone,
      finish: () => connection.close(closeCode.normal),
      cut: () => connection.destroy(),
    },
  )
}
