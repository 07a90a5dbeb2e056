// Sends one request: HTTP/2 where the server chooses it, else HTTP/1.1 on connections kept alive; directly or through a proxy.

import type { ClientRequest, ClientRequestArgs, IncomingHttpHeaders } from 'node:http'
import type { RequestOptions } from 'node:https'
import type { Socket, TcpNetConnectOpts } from 'node:net'
import type { Duplex, Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { http, https } from '@coracle/base/node-http'
import { BulkConnection } from './bulk-connection.ts'
import { bareHost, type ConnectRequest, connectTls, portOf, proxyFailed } from './connect.ts'
import { connectionFailed, RegistryError } from './errors.ts'
import { openSession, type Session } from './http2-session.ts'
import { Intake } from './intake.ts'
import { type ProxySettings, proxyAuthorization, proxyFor } from './proxy.ts'
import { type TlsByHost, TlsContexts } from './tls.ts'

/** An answer whose body is still to be read or destroyed. */
export type HttpResponse = Readable & {
  readonly statusCode?: number | undefined
  readonly headers: IncomingHttpHeaders
  /** `1.1` or `2.0`. */
  readonly httpVersion: string
  /** Scheme, host and port that answered, after redirects. */
  readonly origin?: string
}

export interface OneRequest {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | undefined
  readonly signal: AbortSignal
  readonly connectTimeoutMs: number
  /** For connecting and for the headers of the answer together. */
  readonly answerTimeoutMs: number
  /** See TlsContexts.of. */
  readonly trust: string | undefined
}

export interface TransportOptions {
  readonly tls: TlsByHost
  readonly proxies: ProxySettings
  /** Connections are made so that `bulkBody` can read large bodies from them: by HTTP/1.1, where there is a choice. */
  readonly bulk: boolean
}

interface SecureOptions extends RequestOptions {
  readonly trust?: string | undefined
  readonly connectMs?: number
}

export class Transport {
  readonly #contexts: TlsContexts
  readonly #proxies: ProxySettings
  readonly #bulk: boolean
  readonly #plain: InstanceType<typeof http.Agent>
  readonly #secure: SecureAgent
  readonly #sessions = new Map<string, Session>()
  /** Origins that chose HTTP/1.1. */
  readonly #oldStyle = new Set<string>()
  /** Ends connections that are still being made. */
  readonly #closing = new AbortController()
  readonly #opening = new Map<string, Promise<Session | undefined>>()

  constructor({ tls, proxies, bulk }: TransportOptions) {
    this.#contexts = new TlsContexts(tls)
    this.#proxies = proxies
    this.#bulk = bulk
    this.#plain = new (bulk ? BulkAgent : http.Agent)({ keepAlive: true, scheduling: 'lifo' })
    this.#secure = new SecureAgent(async (url, { trust, connectMs }) =>
      connectionOf(await this.#connect(url, { trust, timeoutMs: connectMs ?? 30_000 })),
    )
  }

  /** Resolves when the headers are there. */
  async send(request: OneRequest, url: URL): Promise<HttpResponse> {
    request.signal.throwIfAborted()
    if (url.protocol === 'http:') return this.#exchange(request, url, this.#plainRequest(request, url))
    const session = await this.#session(request, url)
    if (session !== undefined) return session.send(request, url)
    return this.#exchange(request, url, this.#secureRequest(request, url))
  }

  close(): void {
    this.#closing.abort(new RegistryError('unavailable', 'the connection is given up'))
    this.#plain.destroy()
    this.#secure.destroy()
    for (const session of this.#sessions.values()) session.close()
  }

  /** The HTTP/2 session with an origin; undefined where HTTP/1.1 was chosen. Requests at once wait for one negotiation. */
  async #session(request: OneRequest, url: URL): Promise<Session | undefined> {
    const key = `${url.origin} ${request.trust ?? ''}`
    const known = this.#sessions.get(key)
    if (known?.usable() === true) return known
    if (this.#oldStyle.has(key)) return undefined
    const opening = this.#opening.get(key)
    if (opening !== undefined) {
      // Its failure is that request's; ours finds out by itself.
      const session = await opening.catch(() => undefined)
      request.signal.throwIfAborted()
      return session?.usable() === true || this.#oldStyle.has(key) ? session : this.#session(request, url)
    }
    const negotiated = this.#negotiate(request, url, key).finally(() => this.#opening.delete(key))
    this.#opening.set(key, negotiated)
    return negotiated
  }

  async #negotiate(request: OneRequest, url: URL, key: string): Promise<Session | undefined> {
    const timeoutMs = Math.min(request.connectTimeoutMs, request.answerTimeoutMs)
    const connect = (protocols: readonly string[]): Promise<Secured> =>
      this.#connect(url, { trust: request.trust, timeoutMs, signal: request.signal, protocols })
    // Large bodies cost two thirds by HTTP/1.1 (docs/decisions/0514-large-bodies.md). Who speaks HTTP/2 only is taken at that.
    const { socket, intake } = await connect(this.#bulk ? ['http/1.1'] : ['h2', 'http/1.1']).catch((err: unknown) => {
      if (!this.#bulk || !hasNoProtocol(err)) throw err
      return connect(['h2'])
    })
    if (socket.alpnProtocol !== 'h2') {
      this.#oldStyle.add(key)
      this.#secure.give(url, request.trust, connectionOf({ socket, intake }))
      return undefined
    }
    const session = await openSession(url, socket)
    if (this.#closing.signal.aborted) session.close()
    this.#sessions.set(key, session)
    return session
  }

  async #connect(
    url: URL,
    how: Pick<ConnectRequest, 'timeoutMs'> & { trust?: string | undefined; signal?: AbortSignal; protocols?: readonly string[] },
  ): Promise<Secured> {
    const proxy = proxyFor(url, this.#proxies)
    const { signal: closing } = this.#closing
    // TLS inside of a tunnel has no socket of its own that could be read so.
    const intake = this.#bulk && proxy === undefined ? new Intake() : undefined
    const socket = await connectTls({
      url,
      proxy,
      tls: this.#contexts.of(url.host, how.trust),
      proxyTls: proxy?.protocol === 'https:' ? this.#contexts.of(proxy.host) : undefined,
      protocols: how.protocols ?? ['http/1.1'],
      timeoutMs: how.timeoutMs,
      signal: how.signal === undefined ? closing : AbortSignal.any([how.signal, closing]),
      onread: intake?.onread,
    })
    return { socket, intake }
  }

  #secureRequest(request: OneRequest, url: URL): ClientRequest {
    const options: SecureOptions = {
      method: request.method,
      headers: request.headers,
      agent: this.#secure,
      signal: request.signal,
      trust: request.trust,
      connectMs: request.connectTimeoutMs,
    }
    return https.request(url, options)
  }

  #plainRequest(request: OneRequest, url: URL): ClientRequest {
    const { method, headers, signal } = request
    const proxy = proxyFor(url, this.#proxies)
    if (proxy === undefined) return http.request(url, { method, headers, agent: this.#plain, signal })
    const authorization = proxyAuthorization(proxy)
    const options = {
      host: bareHost(proxy),
      port: portOf(proxy),
      path: url.href,
      method,
      headers: { ...headers, host: url.host, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) },
      signal,
    }
    if (proxy.protocol === 'http:') return http.request({ ...options, agent: this.#plain })
    const { context, skipVerify } = this.#contexts.of(proxy.host)
    const secure = { ...options, secureContext: context, rejectUnauthorized: !skipVerify, agent: false as const }
    return https.request(secure)
  }

  /** Of TLS the connection tells by itself that the proxy is the trouble. */
  #failed(url: URL, err: Error): RegistryError {
    const proxy = url.protocol === 'http:' ? proxyFor(url, this.#proxies) : undefined
    return proxy === undefined ? connectionFailed(url.host, err) : proxyFailed(proxy, url, connectionFailed(proxy.host, err))
  }

  #exchange(request: OneRequest, url: URL, outgoing: ClientRequest): Promise<HttpResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
    const late = (what: string) => () =>
      outgoing.destroy(new RegistryError('unavailable', `${what} ${url.host}: no answer in time`))
    const connecting = setTimeout(late('connect to'), Math.min(request.connectTimeoutMs, request.answerTimeoutMs))
    const answering = setTimeout(late('ask'), request.answerTimeoutMs)
    const connected = () => clearTimeout(connecting)
    const done = () => {
      clearTimeout(connecting)
      clearTimeout(answering)
    }
    outgoing.once('socket', (socket) => {
      if (socket.connecting) socket.once('connect', connected)
      else connected()
    })
    outgoing.once('close', done)
    outgoing.once('response', (response) => {
      done()
      resolve(response)
    })
    outgoing.on('error', (err) => reject(request.signal.aborted ? request.signal.reason : this.#failed(url, err)))
    outgoing.end(request.body)
    return promise
  }
}

interface Secured {
  readonly socket: TLSSocket
  /** What it is read into; not for HTTP/2, which reads by itself. */
  readonly intake: Intake | undefined
}

const hasNoProtocol = (err: unknown): boolean =>
  err instanceof RegistryError && err.failure === 'tls' && err.message.includes('NO_APPLICATION_PROTOCOL')

const connectionOf = ({ socket, intake }: Secured): Duplex => (intake === undefined ? socket : new BulkConnection(socket, intake))

class BulkAgent extends http.Agent {
  override createConnection(options: ClientRequestArgs & Partial<TcpNetConnectOpts>): Duplex {
    const intake = new Intake()
    // Without a callback it returns the socket at once: node:net's.
    return new BulkConnection(
      super.createConnection({ ...options, onread: intake.onread } as ClientRequestArgs) as Socket,
      intake,
    )
  }
}

type Connect = (url: URL, options: SecureOptions) => Promise<Duplex>

/** Gets its connections from us, so that proxies, authorities and client certificates are the same for both versions of HTTP. */
class SecureAgent extends https.Agent {
  readonly #connect: Connect
  readonly #given = new Map<string, Duplex[]>()

  constructor(connect: Connect) {
    super({ keepAlive: true, scheduling: 'lifo' })
    this.#connect = connect
  }

  /** A connection that turned out to speak HTTP/1.1: the next request to that origin takes it. */
  give(url: URL, trust: string | undefined, socket: Duplex): void {
    const key = givenKey(url, trust)
    const sockets = this.#given.get(key) ?? []
    this.#given.set(key, [...sockets, socket])
    socket.on('error', () => {})
  }

  override getName(options: SecureOptions): string {
    return `${super.getName(options)}:${options.trust ?? ''}`
  }

  override createConnection(options: SecureOptions, callback?: (err: Error | null, stream: Duplex) => void): null {
    const url = new URL(`https://${isIPv6(options.host) ? `[${options.host}]` : options.host}:${options.port}`)
    const given = this.#given.get(givenKey(url, options.trust))?.shift()
    if (given !== undefined && !given.destroyed) queueMicrotask(() => callback?.(null, given))
    else
      this.#connect(url, options).then(
        (socket) => callback?.(null, socket),
        // The stream is not looked at beside an error.
        (err) => callback?.(err, undefined as never),
      )
    return null
  }

  override destroy(): void {
    super.destroy()
    for (const sockets of this.#given.values()) for (const socket of sockets) socket.destroy()
  }
}

const isIPv6 = (host: string | null | undefined): boolean => host?.includes(':') === true
const givenKey = (url: URL, trust: string | undefined): string => `${url.origin} ${trust ?? ''}`
