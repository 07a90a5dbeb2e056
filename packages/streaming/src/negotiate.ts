// What an HTTP request asks to be upgraded to, and the answer to it.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { acceptKey, isKey } from './websocket/handshake.ts'

export type Upgrade =
  | { readonly transport: 'spdy'; readonly protocol: string }
  | { readonly transport: 'websocket'; readonly protocol: string; readonly key: string }

export interface Refusal {
  readonly status: number
  readonly message: string
  readonly headers?: readonly string[]
}

export interface OfferedProtocols {
  readonly spdy: readonly string[]
  /** For clients that name no protocol. */
  readonly spdyDefault: string
  /** `` among them: clients that name none are served. */
  readonly websocket: readonly string[]
}

const list = (value: string | string[] | undefined): string[] =>
  [value ?? []]
    .flat()
    .flatMap((line) => line.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '')

/** The client's own order of preference decides. */
export function negotiate(request: IncomingMessage, offered: OfferedProtocols): Upgrade | Refusal {
  const { headers } = request
  const wants = list(headers.upgrade).map((name) => name.toLowerCase())
  if (!list(headers.connection).some((name) => name.toLowerCase() === 'upgrade')) return notUpgrade
  if (wants.includes('websocket')) return negotiateWebSocket(request, offered.websocket)
  if (!wants.includes('spdy/3.1')) return notUpgrade
  const names = list(headers['x-stream-protocol-version'])
  if (names.length === 0) return { transport: 'spdy', protocol: offered.spdyDefault }
  const protocol = names.find((name) => offered.spdy.includes(name))
  if (protocol !== undefined) return { transport: 'spdy', protocol }
  return {
    status: 403,
    message: `unable to negotiate protocol: client supports ${names.join(', ')}, server accepts ${offered.spdy.join(', ')}`,
    headers: offered.spdy.map((name) => `X-Accepted-Stream-Protocol-Versions: ${name}`),
  }
}

const notUpgrade: Refusal = { status: 400, message: 'unable to upgrade: expected Connection: Upgrade to SPDY/3.1 or websocket' }

function negotiateWebSocket(request: IncomingMessage, offered: readonly string[]): Upgrade | Refusal {
  const { headers, method } = request
  const key = headers['sec-websocket-key']
  if (method !== 'GET') return { status: 405, message: 'websocket upgrade must be a GET' }
  if (headers['sec-websocket-version'] !== '13') {
    return { status: 426, message: 'websocket version must be 13', headers: ['Sec-WebSocket-Version: 13'] }
  }
  if (!isKey(key)) return { status: 400, message: 'Sec-WebSocket-Key must be 16 bytes in base64' }
  const names = list(headers['sec-websocket-protocol'])
  const protocol = names.length === 0 ? '' : names.find((name) => offered.includes(name))
  if (protocol !== undefined) return { transport: 'websocket', protocol, key }
  return {
    status: 403,
    message: `unable to negotiate protocol: client supports ${names.join(', ')}, server accepts ${offered.join(', ')}`,
  }
}

/** The 101 that switches the connection over. */
export function switchProtocols(socket: Duplex, upgrade: Upgrade): void {
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade']
  if (upgrade.transport === 'spdy') {
    lines.push('Upgrade: SPDY/3.1')
    if (upgrade.protocol !== '') lines.push(`X-Stream-Protocol-Version: ${upgrade.protocol}`)
  } else {
    lines.push('Upgrade: websocket', `Sec-WebSocket-Accept: ${acceptKey(upgrade.key)}`)
    if (upgrade.protocol !== '') lines.push(`Sec-WebSocket-Protocol: ${upgrade.protocol}`)
  }
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
}

const REFUSED_LINGER_MS = 2_000

/** An error answer with a plain body, then the end of the connection. Never a redirect. */
export function refuse(socket: Duplex, refusal: Refusal): void {
  const body = `${refusal.message}\n`
  const head = [
    `HTTP/1.1 ${refusal.status} ${reasons[refusal.status] ?? 'Error'}`,
    'Content-Type: text/plain; charset=utf-8',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...(refusal.headers ?? []),
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // A client that does not close its side is not waited for longer than this.
  const timer = setTimeout(() => socket.destroy(), REFUSED_LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
}
