// Requests that write to a registry: authorized as it asks, tried again when it is busy, and refusals told in its own words.
import { delay } from '@coracle/base/signals'
import { type AuthDeps, answerChallenge, basicPair, lackOf } from '../registry/auth.ts'
import type { RegistrySource } from '../registry/client.ts'
import type { Endpoint } from '../registry/endpoints.ts'
import { errorText, failureOf, RegistryError } from '../registry/errors.ts'
import { createHttpClient, readBody } from '../registry/http.ts'
import { pauseMs, retryAfterMs } from '../registry/retry.ts'
import { Secrets } from '../registry/secrets.ts'

export interface WriteRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH'
  /** Below the repository (`blobs/uploads/`), or where an answer of the registry said (`Location`). */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
  readonly expected: readonly number[]
  readonly signal: AbortSignal
}

/** An answer; its body is read or destroyed by whoever gets it. */
export type Answer = Awaited<ReturnType<ReturnType<typeof createHttpClient>['send']>>

export interface RegistrySender {
  /** Resolves with an expected status; rejects with RegistryError. */
  send(request: WriteRequest): Promise<Answer>
  readonly host: string
  readonly retryBaseMs: number
  close(): void
}

// For a chunk on a slow line.
const answerMs = 300_000
const maxTries = 5
const maxErrorBytes = 64 * 1024

export function createRegistrySender(source: RegistrySource): RegistrySender {
  // There is always the registry itself.
  const endpoint = source.endpoints.at(-1) as Endpoint
  const repository = endpoint.repository ?? source.repository
  const secrets = new Secrets()
  const credentials = source.credentials ?? endpoint.credentials
  const registryToken = credentials?.registryToken
  secrets.add(credentials?.password, credentials?.identityToken, registryToken, basicPair(credentials))
  const http = createHttpClient({
    timeoutMs: answerMs,
    ...(source.tls === undefined ? {} : { tls: source.tls }),
    ...(source.proxies === undefined ? {} : { proxies: source.proxies }),
  })
  const auth: AuthDeps = { http, secrets, registries: source.registries, stallMs: source.stallTimeoutMs }
  let authorization = registryToken === undefined ? undefined : `Bearer ${registryToken}`

  const once = (request: WriteRequest): Promise<Answer> => {
    const url = targetOf(endpoint, repository, request)
    // What the registry gave for itself is not for another host that it sends us to.
    const own = url.origin === new URL(endpoint.baseUrl).origin
    return http.send({
      url: url.href,
      method: request.method,
      headers: {
        ...(own ? endpoint.headers : {}),
        ...request.headers,
        ...(own && authorization !== undefined ? { authorization } : {}),
      },
      ...(request.body === undefined ? {} : { body: request.body }),
      insecure: endpoint.insecure,
      signal: request.signal,
    })
  }

  const authorized = async (request: WriteRequest): Promise<Answer> => {
    const answer = await once(request)
    if (answer.statusCode !== 401) return answer
    const next = await answerChallenge(auth, {
      endpoint,
      repository,
      challenge: answer.headers['www-authenticate'] ?? '',
      credentials,
      signal: request.signal,
    })
    if (next === undefined) return answer
    answer.destroy()
    authorization = next.authorization
    return once(request)
  }

  const refusal = async (answer: Answer): Promise<RegistryError> => {
    const status = answer.statusCode ?? 0
    const limits = { host: endpoint.host, maxBytes: maxErrorBytes, stallMs: source.stallTimeoutMs }
    const body = await readBody(answer, limits).catch(() => Buffer.alloc(0))
    const detail = secrets.redact(errorText(body))
    const lack = credentials === undefined ? lackOf(endpoint, status) : ''
    const words = `${endpoint.host} answers ${status}${detail === '' ? '' : `: ${detail}`}${lack}`
    return new RegistryError(failureOf(status), words, { status })
  }

  return {
    host: endpoint.host,
    retryBaseMs: source.retryBaseMs,
    close: () => http.close(),
    async send(request) {
      for (let tries = 1; ; tries++) {
        const answer = await authorized(request)
        const status = answer.statusCode ?? 0
        if (request.expected.includes(status)) return answer
        const failure = await refusal(answer)
        // A chunk that failed is resumed by its owner, who knows from where.
        const mayRetry = status === 429 || (status >= 500 && request.method !== 'PATCH')
        if (!mayRetry || tries === maxTries) throw failure
        await delay(retryAfterMs(answer.headers['retry-after']) ?? pauseMs(source.retryBaseMs, tries), request.signal)
      }
    },
  }
}

function targetOf(endpoint: Endpoint, repository: string, { path, query }: WriteRequest): URL {
  const base = `${endpoint.baseUrl}/${repository}/`
  const url = /^(https?:\/\/|\/)/.test(path) ? URL.parse(path, base) : new URL(base + path)
  if (url === null || (url.protocol === 'http:' && !endpoint.insecure) || url.username !== '')
    throw new RegistryError('protocol', `${endpoint.host} wants an upload at a place that is refused`)
  for (const [key, value] of Object.entries(query ?? {})) url.searchParams.set(key, value)
  return url
}
