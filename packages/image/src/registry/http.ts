// One HTTP exchange: deadlines for connecting and for the answer, redirects that carry no secret to another host, bodies within limits.
import { gunzipSync } from 'node:zlib'
import { connectionFailed, RegistryError } from './errors.ts'
import { isLoopback } from './loopback.ts'
import type { ProxySettings } from './proxy.ts'
import type { TlsByHost } from './tls.ts'
import { type HttpResponse, Transport } from './transport.ts'

export type { HttpResponse }

export interface HttpRequest {
  readonly url: string
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Plain HTTP is allowed, also after a redirect. */
  readonly insecure: boolean
  /** Default 30000. */
  readonly connectTimeoutMs?: number
  /** A host whose authorities are trusted for this exchange too: a registry's for the token service that it names. */
  readonly trust?: string
  readonly signal: AbortSignal
}

export interface HttpOptions {
  /** For connecting, and again for the headers of the answer. */
  readonly timeoutMs: number
  /** None: Node's own authorities. */
  readonly tls?: TlsByHost
  readonly proxies?: ProxySettings
  /** Large bodies can be read by `bulkBody`. */
  readonly bulk?: boolean
}

export interface HttpClient {
  /** Sends, follows redirects, resolves when the headers are there. The body must be read or destroyed. */
  send(request: HttpRequest): Promise<HttpResponse>
  close(): void
}

const maxRedirects = 10
const connectMs = 30_000

export function createHttpClient(options: HttpOptions): HttpClient {
  const transport = new Transport({ tls: options.tls ?? {}, proxies: options.proxies ?? {}, bulk: options.bulk === true })
  return {
    async send(request) {
      let url = new URL(request.url)
      let headers = request.headers
      for (let hops = 0; ; hops++) {
        const response = await transport.send(
          {
            method: request.method ?? 'GET',
            headers: { ...headers, 'user-agent': 'coracle', 'accept-encoding': 'identity' },
            body: request.body,
            signal: request.signal,
            connectTimeoutMs: request.connectTimeoutMs ?? connectMs,
            answerTimeoutMs: options.timeoutMs,
            trust: hops === 0 ? request.trust : undefined,
          },
          url,
        )
        const location = response.headers.location
        if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined)
          return Object.assign(response, { origin: url.origin })
        response.resume()
        if (request.body !== undefined)
          throw new RegistryError('protocol', `${url.host} redirects a request with a body: refused`)
        if (hops === maxRedirects) throw new RegistryError('protocol', `${url.host} redirects more than ${maxRedirects} times`)
        const next = redirectTarget(url, location, request.insecure)
        if (next.origin !== url.origin) headers = withoutSecrets(headers)
        url = next
      }
    },
    close: () => transport.close(),
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

// Headers that the operator configured for one host are that host's own as well: only what the protocol itself needs goes on.
const publicHeaders = new Set(['accept', 'range', 'if-range', 'content-type'])

function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => publicHeaders.has(name.toLowerCase())))
}

export interface BodyLimits {
  /** For messages. */
  readonly host: string
  readonly maxBytes: number
  readonly stallMs: number
}

/** Reads a whole small body. `maxBytes` holds for what comes out of a Content-Encoding too; others than gzip are refused. */
export async function readBody(response: HttpResponse, limits: BodyLimits): Promise<Buffer> {
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
