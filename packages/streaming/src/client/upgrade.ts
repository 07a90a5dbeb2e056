// The client's side of the HTTP upgrade.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { CodedError, type ErrorCode, failed, invalid } from '@coracle/base/errors'
import { http, https } from '@coracle/base/node-http'
import { acceptKey } from '../websocket/handshake.ts'
import { socketWire, type Wire } from '../wire.ts'

export interface ConnectOptions {
  /** Ends the connecting; once connected, `close()` ends the session. */
  readonly signal: AbortSignal
  /** For https URLs: the certificates to trust, PEM. Default: the system's. */
  readonly ca?: string | Buffer
  /** For https URLs: trust any certificate. */
  readonly insecure?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

interface Upgraded {
  readonly wire: Wire
  /** The protocol the server chose; `` when it named none. */
  readonly protocol: string
}

const CLIENT_IDLE_MS = 24 * 3600 * 1000

/** Throws `not_found`, `permission_denied`, … by the HTTP status, and `unavailable` when nothing answers. */
export async function upgradeToSpdy(url: string, protocols: readonly string[], options: ConnectOptions): Promise<Upgraded> {
  const answer = await upgrade(url, options, {
    method: 'POST',
    Upgrade: 'SPDY/3.1',
    ...(protocols.length > 0 && { 'X-Stream-Protocol-Version': protocols.join(', ') }),
  })
  return { wire: answer.wire, protocol: answer.headers['x-stream-protocol-version'] ?? '' }
}

/** As `upgradeToSpdy`. */
export async function upgradeToWebSocket(url: string, protocols: readonly string[], options: ConnectOptions): Promise<Upgraded> {
  const key = randomBytes(16).toString('base64')
  const answer = await upgrade(url, options, {
    method: 'GET',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
    ...(protocols.length > 0 && { 'Sec-WebSocket-Protocol': protocols.join(', ') }),
  })
  if (answer.headers['sec-websocket-accept'] !== acceptKey(key)) {
    answer.wire.destroy()
    throw new CodedError('internal', 'server answered the websocket handshake with a wrong Sec-WebSocket-Accept')
  }
  return { wire: answer.wire, protocol: answer.headers['sec-websocket-protocol'] ?? '' }
}

interface Answer {
  readonly wire: Wire
  readonly headers: Readonly<Record<string, string>>
}

async function upgrade(
  url: string,
  options: ConnectOptions,
  { method, ...headers }: { readonly method: 'GET' | 'POST' } & Readonly<Record<string, string>>,
): Promise<Answer> {
  const { protocol } = new URL(url)
  if (protocol !== 'http:' && protocol !== 'https:') throw invalid(`stream url has scheme ${protocol}, expected http or https`)
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const open = protocol === 'https:' ? https.request : http.request
  const request = open(url, {
    method,
    headers: { ...options.headers, Connection: 'Upgrade', ...headers },
    agent: false,
    ...(options.ca !== undefined && { ca: options.ca }),
    rejectUnauthorized: options.insecure !== true,
  })
  // Not by the request's own option: that would cut the connection off even when it is long established.
  const abort = () => request.destroy()
  options.signal.addEventListener('abort', abort, { once: true })
  request.on('close', () => options.signal.removeEventListener('abort', abort))
  if (options.signal.aborted) abort()
  request.on('error', (err) => reject(failedToConnect(err, options.signal)))
  request.on('upgrade', (response, socket, head) => {
    options.signal.removeEventListener('abort', abort)
    const lines = Object.entries(response.headersDistinct).map(([name, values]) => [name, (values ?? []).join(', ')])
    resolve({ wire: socketWire(socket as Socket, head, CLIENT_IDLE_MS), headers: Object.fromEntries(lines) })
  })
  request.on('response', (response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (part: string) => {
      text = (text + part).slice(0, 1024)
    })
    response.on('close', () => {
      const status = response.statusCode ?? 0
      reject(new CodedError(codeOfStatus(status), `server answered with status ${status}: ${text.trim()}`))
    })
  })
  request.end()
  return promise
}

function failedToConnect(err: unknown, signal: AbortSignal): CodedError {
  const action = 'connect to the stream server'
  return signal.aborted ? failed(action, signal.reason) : new CodedError('unavailable', action, { cause: err })
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 404) return 'not_found'
  if (status === 401) return 'unauthenticated'
  if (status === 403) return 'permission_denied'
  if (status === 429) return 'resource_exhausted'
  return status >= 400 && status < 500 ? 'invalid_argument' : 'unavailable'
}
