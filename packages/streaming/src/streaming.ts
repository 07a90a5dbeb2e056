// The HTTP server that kubelet and crictl are sent to: one URL for each prepared request, upgraded to SPDY or WebSocket.

import type { IncomingMessage, Server } from 'node:http'
import { type AddressInfo, isIPv6, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { doing, explain, invalid } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { http, https } from '@coracle/base/node-http'
import { abortable } from '@coracle/base/signals'
import { negotiate, type Refusal, refuse, switchProtocols, type Upgrade } from './negotiate.ts'
import { offeredFor, serve } from './serve.ts'
import type { StdioSelection, StreamAttachRequest, StreamExecRequest, StreamPortForwardRequest, StreamTarget } from './target.ts'
import { readCertificate, type TlsFiles, watchCertificate } from './tls.ts'
import { FailureLimit, type PreparedRequest, type TakenRequest, Tokens } from './tokens.ts'
import { socketWire } from './wire.ts'

export interface StreamingOptions {
  /** IP address to listen on. Default 127.0.0.1. Others need `tls`: the token in the URL would be readable on the way. */
  readonly address?: string
  /** Default 0: the kernel chooses. */
  readonly port?: number
  /** Host name or address in the URLs. Default: the address listened on; loopback when that is a wildcard. */
  readonly advertisedHost?: string
  readonly tls?: TlsFiles
  /** A session ends after this time without a byte in either direction. Default 4 hours. */
  readonly idleTimeoutMs?: number
  /** For a client to open the streams it needs. Default 30 seconds. */
  readonly creationTimeoutMs?: number
  /** For a client to come with its token. Default 60 seconds. */
  readonly tokenLifetimeMs?: number
  /** Requests with an Origin header come from browsers, which have no business here. Default `refuse`. */
  readonly browsers?: 'refuse' | 'allow'
}

export interface Streaming extends AsyncDisposable {
  /** The URL for one client, valid once and for a minute. Throws `invalid_argument`; `resource_exhausted` while 1,000 are outstanding. */
  execUrl(request: StreamExecRequest): string
  attachUrl(request: StreamAttachRequest): string
  portForwardUrl(request: StreamPortForwardRequest): string
  readonly address: { readonly host: string; readonly port: number }
  /** Open sessions and unused tokens, for metrics and tests. */
  readonly usage: { readonly sessions: number; readonly tokens: number }
  /** Ends every session (their signals abort) and the server. */
  close(): Promise<void>
}

const log = logger('streaming')
const MAX_CONNECTIONS = 2_000
const CLOSE_WITHIN_MS = 10_000
const MAX_FAILED_LOOKUPS_PER_SECOND = 100

/** Listens and resolves. Rejects with `invalid_argument` for unsafe options, else with the reason it cannot listen. */
export async function createStreaming(options: StreamingOptions, target: StreamTarget): Promise<Streaming> {
  const server = new StreamServer(options, target)
  await server.listen()
  return server
}

class StreamServer implements Streaming {
  readonly #options: StreamingOptions
  readonly #target: StreamTarget
  readonly #tokens: Tokens
  readonly #failures = new FailureLimit(MAX_FAILED_LOOKUPS_PER_SECOND)
  readonly #server: Server
  /** From the upgrade until the session is over and the connection closed. */
  readonly #sessions = new Map<Socket, Promise<void>>()
  readonly #closing = new AbortController()

  constructor(options: StreamingOptions, target: StreamTarget) {
    this.#options = options
    this.#target = target
    this.#tokens = new Tokens(options.tokenLifetimeMs ?? 60_000)
    this.#server = this.#makeServer()
  }

  execUrl(request: StreamExecRequest): string {
    checkSelection(request)
    if (request.command.length === 0) throw invalid('exec command is empty, expected at least one word')
    return this.#url({ kind: 'exec', request })
  }

  attachUrl(request: StreamAttachRequest): string {
    checkSelection(request)
    return this.#url({ kind: 'attach', request })
  }

  portForwardUrl(request: StreamPortForwardRequest): string {
    for (const port of request.ports) {
      if (!Number.isInteger(port) || port < 1 || port > 0xffff) throw invalid(`port is ${port}, expected 1 to 65535`)
    }
    return this.#url({ kind: 'portforward', request })
  }

  get address(): { readonly host: string; readonly port: number } {
    // Listening on an IP socket: never a string, and never null before close.
    const { address, port } = this.#server.address() as AddressInfo
    return { host: address, port }
  }

  get usage(): { readonly sessions: number; readonly tokens: number } {
    return { sessions: this.#sessions.size, tokens: this.#tokens.outstanding }
  }

  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const { address = '127.0.0.1', port = 0 } = this.#options
    this.#server.once('error', reject)
    this.#server.listen({ host: address, port }, resolve)
    await doing(`listen for streams on ${address} port ${port}`, () => promise)
    this.#server.off('error', reject)
    this.#server.on('error', (err) => log.error('stream server failed', { error: explain(err) }))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#server.closeAllConnections()
    for (const socket of this.#sessions.keys()) socket.destroy()
    // A target that does not heed its signal must not keep the daemon from ending.
    const ended = Promise.allSettled([promise, ...this.#sessions.values()])
    await abortable(ended, AbortSignal.timeout(CLOSE_WITHIN_MS)).catch((err) =>
      log.warn('stream sessions did not end', { sessions: this.#sessions.size, error: explain(err) }),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #makeServer(): Server {
    const { address = '127.0.0.1', tls } = this.#options
    const limits = {
      headersTimeout: 10_000,
      requestTimeout: 10_000,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: 16 * 1024,
    }
    if (tls === undefined && !isLoopback(address)) {
      throw invalid(`stream address is ${address}, expected a loopback address unless tls is configured`)
    }
    const server =
      tls === undefined
        ? http.createServer(limits)
        : https.createServer({ ...limits, ...readCertificate(tls), minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] })
    if (tls !== undefined) watchCertificate(tls, server as import('node:https').Server, { signal: this.#closing.signal })
    server.maxConnections = MAX_CONNECTIONS
    server.on('request', (request) => this.#onRequest(request))
    server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head))
    server.on('clientError', (_err, socket) => {
      if (socket.writable) refuse(socket, { status: 400, message: 'malformed request' })
      else socket.destroy()
    })
    return server
  }

  #url(request: PreparedRequest): string {
    const token = this.#tokens.issue(request)
    const { host, port } = this.address
    // Who listens everywhere is reached by the local kubelet on loopback.
    const name = this.#options.advertisedHost ?? { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
    return `${this.#options.tls ? 'https' : 'http'}://${isIPv6(name) ? `[${name}]` : name}:${port}/${request.kind}/${token}`
  }

  /** The prepared request, or how to turn the client away; undefined: without an answer. */
  #admit(request: IncomingMessage): TakenRequest | Refusal | undefined {
    if (request.headers.origin !== undefined && this.#options.browsers !== 'allow') {
      return { status: 403, message: 'requests with an Origin header are refused' }
    }
    const path = /^\/(exec|attach|portforward)\/([A-Za-z0-9_-]{1,128})(?:\?|$)/.exec(request.url ?? '')
    if (path !== null && request.method !== 'GET' && request.method !== 'POST') {
      return { status: 405, message: 'method must be GET or POST', headers: ['Allow: GET, POST'] }
    }
    // The expression has just these three words.
    const taken = path === null ? undefined : this.#tokens.take(path[1] as PreparedRequest['kind'], path[2] ?? '')
    if (taken !== undefined) return taken
    return this.#failures.allow() ? { status: 404, message: 'no such stream: unknown, used or expired' } : undefined
  }

  #onRequest(request: IncomingMessage): void {
    const { socket } = request
    const admitted = this.#admit(request)
    if (admitted === undefined) socket.destroy()
    else
      refuse(socket, 'status' in admitted ? admitted : { status: 400, message: 'expected an upgrade to SPDY/3.1 or websocket' })
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    const admitted = this.#admit(request)
    if (admitted === undefined || !(socket instanceof Socket)) {
      socket.destroy()
      return
    }
    if ('status' in admitted) {
      refuse(socket, admitted)
      return
    }
    const { prepared, resume } = admitted
    const upgrade = negotiate(request, offeredFor(prepared))
    if ('status' in upgrade) refuse(socket, upgrade)
    else resume(() => this.#serve({ socket, head }, prepared, upgrade))
  }

  #serve({ socket, head }: { socket: Socket; head: Buffer }, prepared: PreparedRequest, upgrade: Upgrade): void {
    const { idleTimeoutMs = 4 * 3600 * 1000, creationTimeoutMs = 30_000 } = this.#options
    const wire = socketWire(socket, head, idleTimeoutMs)
    switchProtocols(socket, upgrade)
    const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()))
    const session = serve(wire, { prepared, upgrade, creationTimeoutMs }, this.#target)
      .catch((err) => log.info('stream session not set up', { kind: prepared.kind, error: explain(err) }))
      .then(() => closed)
      .finally(() => this.#sessions.delete(socket))
    this.#sessions.set(socket, session)
  }
}

function checkSelection(request: StdioSelection): void {
  if (request.tty && request.stderr) throw invalid('tty and stderr are both set, expected at most one of them')
  if (!request.stdin && !request.stdout && !request.stderr) throw invalid('none of stdin, stdout and stderr is set, expected one')
}

const isLoopback = (address: string): boolean =>
  /^127\.\d+\.\d+\.\d+$/.test(address) || address === '::1' || address === 'localhost'
