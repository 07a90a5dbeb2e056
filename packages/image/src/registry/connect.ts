// One connection to a host: directly or through a proxy, with TLS or without, within a deadline.

import net, { isIP, type OnReadOpts, type Socket } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { http } from '@coracle/base/node-http'
import { connectionFailed, RegistryError } from './errors.ts'
import { maskedProxy, proxyAuthorization } from './proxy.ts'
import type { TlsChoice } from './tls.ts'

export interface ConnectRequest {
  readonly url: URL
  readonly proxy: URL | undefined
  readonly tls: TlsChoice
  /** For a proxy that speaks TLS itself. */
  readonly proxyTls: TlsChoice | undefined
  /** For ALPN, the preferred one first. */
  readonly protocols: readonly string[]
  /** For the whole of it. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** What is read goes there, except through a proxy. */
  readonly onread?: OnReadOpts | undefined
}

/** A TLS connection, handshake done. Rejects with RegistryError naming the host, and the proxy where that is the trouble. */
export async function connectTls(request: ConnectRequest): Promise<TLSSocket> {
  const { url, proxy, timeoutMs } = request
  const late = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([request.signal, late])
  try {
    const tunnel = proxy === undefined ? undefined : await openTunnel(request, proxy, signal)
    return await handshake(request, tunnel, signal)
  } catch (err) {
    request.signal.throwIfAborted()
    if (late.aborted) throw new RegistryError('unavailable', `connect to ${url.host}: no answer in ${timeoutMs / 1000} s`)
    throw connectionFailed(url.host, err)
  }
}

function handshake(request: ConnectRequest, tunnel: Socket | undefined, signal: AbortSignal): Promise<TLSSocket> {
  const { url, tls: choice, protocols, onread } = request
  const host = bareHost(url)
  const socket = tls.connect({
    ...(tunnel === undefined ? { host, port: portOf(url) } : { socket: tunnel, host }),
    ...(isIP(host) > 0 ? {} : { servername: host }),
    ...(onread === undefined ? {} : { onread }),
    ALPNProtocols: [...protocols],
    secureContext: choice.context,
    // Explicit, so that no variable of the environment can turn it off.
    rejectUnauthorized: !choice.skipVerify,
    minVersion: 'TLSv1.2',
  })
  return settled(socket, 'secureConnect', signal)
}

/** The proxy is the trouble, not the host behind it. */
export const proxyFailed = (proxy: URL, url: URL, { message }: Error): RegistryError =>
  new RegistryError('unavailable', `proxy ${maskedProxy(proxy.href)} for ${url.host}: ${message}`)

async function openTunnel({ url, proxyTls }: ConnectRequest, proxy: URL, signal: AbortSignal): Promise<Socket> {
  const failed = (why: string) => proxyFailed(proxy, url, new Error(why))
  try {
    const socket = await connectToProxy(proxy, proxyTls, signal)
    const target = `${url.hostname}:${portOf(url)}`
    const authorization = proxyAuthorization(proxy)
    const outgoing = http.request({
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) },
      createConnection: () => socket,
    })
    const { promise, resolve, reject } = Promise.withResolvers<Socket>()
    const abort = () => outgoing.destroy(asError(signal.reason))
    signal.addEventListener('abort', abort, { once: true })
    outgoing.once('connect', (response, stream, head) => {
      if (response.statusCode !== 200 || head.length > 0) {
        stream.destroy()
        const missing = response.statusCode === 407 ? ', it wants other credentials' : ''
        reject(failed(`answers ${response.statusCode}${missing}`))
        // The stream of a connected socket is that socket.
      } else resolve(stream as Socket)
    })
    outgoing.once('response', (response) => {
      response.destroy()
      reject(failed(`answers ${response.statusCode}${response.statusCode === 407 ? ', it wants other credentials' : ''}`))
    })
    outgoing.once('error', reject)
    outgoing.end()
    return await promise.finally(() => signal.removeEventListener('abort', abort))
  } catch (err) {
    signal.throwIfAborted()
    throw err instanceof RegistryError ? err : proxyFailed(proxy, url, connectionFailed(proxy.host, err))
  }
}

function connectToProxy(proxy: URL, choice: TlsChoice | undefined, signal: AbortSignal): Promise<Socket> {
  const host = bareHost(proxy)
  const port = portOf(proxy)
  if (choice === undefined) return settled(net.connect({ host, port }), 'connect', signal)
  const name = isIP(host) > 0 ? {} : { servername: host }
  const rejectUnauthorized = !choice.skipVerify
  return settled(tls.connect({ host, port, ...name, secureContext: choice.context, rejectUnauthorized }), 'secureConnect', signal)
}

function settled<T extends Socket>(socket: T, event: string, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const abort = () => socket.destroy(asError(signal.reason))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  socket.once(event, () => resolve(socket))
  socket.once('error', reject)
  socket.once('close', () => reject(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })))
  return promise.finally(() => signal.removeEventListener('abort', abort))
}

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)))
export const bareHost = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')
export const portOf = (url: URL): number => (url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port))
