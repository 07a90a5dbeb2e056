// One HTTP exchange: connections kept alive, deadlines for connecting and for the answer, redirects that carry no secret to another host.
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { createSecureContext, type SecureContext } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { isLoopback } from './endpoints.ts'
import { connectionFailed, RegistryError } from './errors.ts'

export interface HttpRequest {
  readonly url: string
  readonly method?: 'GET' | 'HEAD' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Plain HTTP is allowed, also after a redirect. */
  readonly insecure: boolean
  readonly signal: AbortSignal
}

export interface HttpOptions {
  /** For connecting, and again for the headers of the answer. */
  readonly timeoutMs: number
  /** Certificate authorities by host, PEM; `*` for all other hosts. None: Node's own. */
  readonly authorities?: Readonly<Record<string, readonly string[]>>
}

export interface HttpClient {
  /** Sends, follows redirects, resolves when the headers are there. The body must be read or destroyed. */
  send(request: HttpRequest): Promise<IncomingMessage>
  close(): void
}

const maxRedirects = 10
const connectMs = 30_000

export function createHttpClient(options: HttpOptions): HttpClient {
  const plain = new http.Agent({ keepAlive: true, scheduling: 'lifo' })
  const secure = new https.Agent({ keepAlive: true, scheduling: 'lifo' })
  const contexts = new Map<readonly string[] | undefined, SecureContext | undefined>()
  const contextOf = (host: string): SecureContext | undefined => {
    const authorities = options.authorities?.[host] ?? options.authorities?.['*']
    if (!contexts.has(authorities)) contexts.set(authorities, authorities && createSecureContext({ ca: [...authorities] }))
    return contexts.get(authorities)
  }

  const once = (request: HttpRequest, url: URL): Promise<IncomingMessage> => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const isSecure = url.protocol === 'https:'
    const context = isSecure ? contextOf(url.host) : undefined
    const outgoing = (isSecure ? https : http).request(url, {
      method: request.method ?? 'GET',
      headers: { ...request.headers, 'user-agent': 'coracle', 'accept-encoding': 'identity' },
      agent: isSecure ? secure : plain,
      signal: request.signal,
      // Explicit, so that no variable of the environment can turn it off.
      ...(isSecure
        ? { rejectUnauthorized: true, minVersion: 'TLSv1.2' as const, ...(context ? { secureContext: context } : {}) }
        : {}),
    })
    const late = (what: string) => () =>
      outgoing.destroy(new RegistryError('unavailable', `${what} ${url.host}: no answer in time`))
    const connecting = setTimeout(late('connect to'), Math.min(connectMs, options.timeoutMs))
    const answering = setTimeout(late('ask'), options.timeoutMs)
    const connected = () => clearTimeout(connecting)
    outgoing.once('socket', (socket) => {
      if (socket.connecting) socket.once(isSecure ? 'secureConnect' : 'connect', connected)
      else connected()
    })
    outgoing.once('close', () => {
      clearTimeout(connecting)
      clearTimeout(answering)
    })
    outgoing.once('response', (response) => {
      clearTimeout(connecting)
      clearTimeout(answering)
      resolve(response)
    })
    outgoing.on('error', (err) => reject(request.signal.aborted ? request.signal.reason : connectionFailed(url.host, err)))
    outgoing.end(request.body)
    return promise
  }

  return {
    async send(request) {
      let url = new URL(request.url)
      let current = request
      for (let hops = 0; ; hops++) {
        request.signal.throwIfAborted()
        const response = await once(current, url)
        const location = response.headers.location
        if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response
        response.resume()
        if (hops === maxRedirects) throw new RegistryError('protocol', `${url.host} redirects more than ${maxRedirects} times`)
        const next = redirectTarget(url, location, request.insecure)
        if (next.origin !== url.origin) current = { ...current, headers: withoutAuthorization(current.headers) }
        url = next
      }
    },
    close() {
      plain.destroy()
      secure.destroy()
    },
  }
}

function redirectTarget(from: URL, location: string, insecure: boolean): URL {
  const refused = (why: string) => new RegistryError('protocol', `${from.host} redirects ${why}: refused`)
  const to = URL.parse(location, from)
  if (to === null || (to.protocol !== 'https:' && to.protocol !== 'http:'))
    throw refused('to something that is no http or https URL')
  if (to.protocol === 'http:' && (from.protocol === 'https:' || !insecure)) throw refused(`to plain HTTP at ${to.host}`)
  if (to.username !== '' || to.password !== '') throw refused('to a URL with credentials')
  if (isLinkLocal(to.hostname) || (isLoopback(to.hostname) && !isLoopback(from.hostname)))
    throw refused(`to the address ${to.host} of this machine`)
  return to
}

const isLinkLocal = (host: string): boolean =>
  /^169\.254\./.test(host) || /^\[fe[89ab]/i.test(host) || /^\[::ffff:a9fe:/i.test(host) || host === '0.0.0.0' || host === '[::]'

function withoutAuthorization(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'))
}

export interface BodyLimits {
  /** For messages. */
  readonly host: string
  readonly maxBytes: number
  readonly stallMs: number
}

/** Reads a whole small body. `maxBytes` holds for what comes out of a Content-Encoding too; others than gzip are refused. */
export async function readBody(response: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const { host } = limits
  const chunks: Buffer[] = []
  let length = 0
  const timer = setTimeout(() => response.destroy(new RegistryError('stalled', `${host} stopped sending`)), limits.stallMs)
  try {
    for await (const chunk of response) {
      length += chunk.length
      if (length > limits.maxBytes) throw new RegistryError('protocol', `${host} answers with more than ${limits.maxBytes} bytes`)
      chunks.push(chunk)
    }
  } catch (err) {
    throw err instanceof RegistryError ? err : connectionFailed(host, err)
  } finally {
    clearTimeout(timer)
    response.destroy()
  }
  const body = Buffer.concat(chunks)
  const encoding = response.headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') return body
  if (encoding !== 'gzip') throw new RegistryError('protocol', `${host} answers with an unknown Content-Encoding`)
  try {
    return gunzipSync(body, { maxOutputLength: limits.maxBytes })
  } catch (err) {
    throw new RegistryError('protocol', `${host} answers with a gzip body that is broken or too large`, { cause: err })
  }
}
