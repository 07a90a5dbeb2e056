// From an upgraded connection and the request it stands for to the end of the session.

import type { CommandEnd } from './exit-status.ts'
import type { OfferedProtocols, Upgrade } from './negotiate.ts'
import { portForwardProtocol, servePortForwardSpdy } from './port-forward-spdy.ts'
import {
  MAX_WEBSOCKET_PORTS,
  servePortForwardWebSocket,
  serveTunnelledPortForward,
  tunnelProtocol,
  webSocketForwardProtocols,
} from './port-forward-websocket.ts'
import type { RemoteCommandClient } from './remote-command.ts'
import { acceptSpdyCommand, spdyCommandProtocols } from './remote-command-spdy.ts'
import { acceptWebSocketCommand, webSocketCommandProtocols } from './remote-command-websocket.ts'
import type { StreamTarget } from './target.ts'
import type { PreparedRequest } from './tokens.ts'
import type { Wire } from './wire.ts'

export interface ServeOptions {
  readonly prepared: PreparedRequest
  readonly upgrade: Upgrade
  readonly creationTimeoutMs: number
}

const forCommands: OfferedProtocols = {
  spdy: spdyCommandProtocols,
  spdyDefault: '',
  websocket: Object.keys(webSocketCommandProtocols),
}

/** The protocols a prepared request can be served by. */
export function offeredFor(prepared: PreparedRequest): OfferedProtocols {
  if (prepared.kind !== 'portforward') return forCommands
  const { length } = prepared.request.ports
  // Without ports there is nothing to put on channels.
  const channels = length > 0 && length <= MAX_WEBSOCKET_PORTS ? Object.keys(webSocketForwardProtocols) : []
  return { spdy: [portForwardProtocol], spdyDefault: portForwardProtocol, websocket: [...channels, tunnelProtocol] }
}

/** Resolves when the session is over; rejects when the client did not set it up. */
export async function serve(wire: Wire, options: ServeOptions, target: StreamTarget): Promise<void> {
  const { prepared } = options
  if (prepared.kind === 'portforward') return servePortForward(wire, { ...options, prepared }, target)
  const client = await acceptCommand(wire, options)
  await client.end(await runCommand(prepared, client, target))
}

async function runCommand(
  prepared: Exclude<PreparedRequest, { kind: 'portforward' }>,
  { streams, gone }: RemoteCommandClient,
  target: StreamTarget,
): Promise<CommandEnd> {
  try {
    if (prepared.kind === 'exec') return { kind: 'exited', exitCode: await target.exec(prepared.request, streams, gone) }
    await target.attach(prepared.request, streams, gone)
    return { kind: 'done' }
  } catch (error) {
    return { kind: 'failed', error }
  }
}

async function acceptCommand(wire: Wire, { prepared, upgrade, creationTimeoutMs }: ServeOptions): Promise<RemoteCommandClient> {
  const selection = prepared.request as Extract<PreparedRequest, { kind: 'exec' | 'attach' }>['request'] // serve() sent the rest away
  if (upgrade.transport === 'spdy') {
    return await acceptSpdyCommand(wire, { selection, protocol: upgrade.protocol, creationTimeoutMs })
  }
  const protocol = webSocketCommandProtocols[upgrade.protocol]
  if (protocol === undefined) throw new Error(`negotiated ${upgrade.protocol}, which was not offered`)
  return acceptWebSocketCommand(wire, selection, protocol)
}

async function servePortForward(
  wire: Wire,
  { prepared, upgrade, creationTimeoutMs }: ServeOptions & { prepared: Extract<PreparedRequest, { kind: 'portforward' }> },
  target: StreamTarget,
): Promise<void> {
  const { request } = prepared
  if (upgrade.transport === 'spdy') return servePortForwardSpdy(wire, { request, creationTimeoutMs }, target)
  if (upgrade.protocol === tunnelProtocol) return serveTunnelledPortForward(wire, { request, creationTimeoutMs }, target)
  const protocol = webSocketForwardProtocols[upgrade.protocol]
  if (protocol === undefined) throw new Error(`negotiated ${upgrade.protocol}, which was not offered`)
  return servePortForwardWebSocket(wire, { request, protocol }, target)
}
