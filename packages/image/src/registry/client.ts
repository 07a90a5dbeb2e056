// A client for one repository on one or more endpoints: authorization, retries, and the next endpoint when one cannot help.
import { monotonicMs } from '@coracle/base/clock'
import { delay } from '@coracle/base/signals'
import { noteFailedPart, stage } from '@coracle/base/stages'
import type { Credentials } from '../images.ts'
import { type AuthDeps, answerChallenge, basicPair, lackOf } from './auth.ts'
import type { Endpoint, RegistriesConfig } from './endpoints.ts'
import { allFailed, errorText, failureOf, RegistryError } from './errors.ts'
import { createHttpClient, type HttpResponse, readBody } from './http.ts'
import type { ProxySettings } from './proxy.ts'
import { jittered, pauseMs, retryAfterMs, triesFor } from './retry.ts'
import { Secrets } from './secrets.ts'
import type { TlsByHost } from './tls.ts'
import type { TokenCache } from './token-cache.ts'

/** Plain data, so that it can go to the worker as it is. */
export interface RegistrySource {
  readonly endpoints: readonly Endpoint[]
  readonly repository: string
  readonly credentials?: Credentials
  readonly registries: RegistriesConfig
  readonly stallTimeoutMs: number
  /** First pause before a retry; doubles each time. */
  readonly retryBaseMs: number
  readonly tls?: TlsByHost
  readonly proxies?: ProxySettings
  /** Authorization that worked already, by endpoint URL. */
  readonly authorizations?: Readonly<Record<string, string>>
}

export interface RegistryRequest {
  /** Below the repository: `manifests/latest`. */
  readonly path: string
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

export interface Answer {
  readonly response: HttpResponse
  readonly endpoint: Endpoint
}

export interface RegistryClient {
  /**
   * GET from the first endpoint that has it. Resolves with status 200 or 206 and an unread body, rejects with RegistryError.
   * Busy and failing servers are asked again; one that cannot be reached is not, as the caller's caller has its own patience.
   */
  get(request: RegistryRequest): Promise<Answer>
  /** The same, and what `use` makes of the answer. A RegistryError of `use` is the endpoint's fault: the next one is asked. */
  read<T>(request: RegistryRequest, use: (answer: Answer) => Promise<T>): Promise<T>
  /** One endpoint, once, whatever its status; a challenge is answered. */
  ask(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse>
  /** From now on the others are asked first. False when there is no other. */
  distrust(endpoint: Endpoint): boolean
  /** What was learned so far, to hand on: authorizations that worked, endpoints in the order of trust. */
  handOn(): RegistrySource
  readonly secrets: Secrets
  close(): void
}

/** What is told of each exchange with an endpoint, or with the token service that it names. */
export interface Exchange {
  readonly endpoint: Endpoint
  readonly method: string
  /** Below the repository, or `token service HOST`. */
  readonly path: string
  readonly status: number | undefined
  readonly error: unknown
  readonly httpVersion: string | undefined
  readonly ms: number
}

export interface ClientParts {
  /** Shared by all clients of a process. */
  readonly tokens?: TokenCache
  readonly observe?: (exchange: Exchange) => void
}

const maxErrorBytes = 64 * 1024
const maxWaitMs = 120_000

export function createRegistryClient(source: RegistrySource, parts: ClientParts = {}): RegistryClient {
  const secrets = secretsOf(source)
  const { tls, proxies } = source
  const http = createHttpClient({
    timeoutMs: source.stallTimeoutMs,
    ...(tls === undefined ? {} : { tls }),
    ...(proxies === undefined ? {} : { proxies }),
  })
  const auth: AuthDeps = { http, secrets, registries: source.registries, stallMs: source.stallTimeoutMs }
  const authorizations = new Map<string, string>(Object.entries(source.authorizations ?? {}))
  let order = source.endpoints

  const repositoryOf = (endpoint: Endpoint): string => endpoint.repository ?? source.repository
  const credentialsOf = (endpoint: Endpoint): Credentials | undefined =>
    (endpoint.isOrigin ? source.credentials : undefined) ?? endpoint.credentials
  const identityOf = (endpoint: Endpoint) => ({
    baseUrl: endpoint.baseUrl,
    repository: repositoryOf(endpoint),
    credentials: credentialsOf(endpoint),
  })

  const authorizationOf = (endpoint: Endpoint): string | undefined => {
    const { registryToken } = credentialsOf(endpoint) ?? {}
    if (registryToken !== undefined) return `Bearer ${registryToken}`
    const cached = authorizations.get(endpoint.baseUrl) ?? parts.tokens?.find(identityOf(endpoint))
    if (cached !== undefined) secrets.add(cached.replace(/^\S+ /, ''))
    return cached
  }

  const send = async (endpoint: Endpoint, request: RegistryRequest, authorization: string | undefined): Promise<HttpResponse> => {
    const startedAt = monotonicMs()
    const method = request.method ?? 'GET'
    const tell = (outcome: Pick<Exchange, 'status' | 'error' | 'httpVersion'>) =>
      parts.observe?.({ endpoint, method, path: request.path, ms: monotonicMs() - startedAt, ...outcome })
    try {
      const query = endpoint.query === undefined ? '' : `${request.path.includes('?') ? '&' : '?'}${endpoint.query}`
      const response = await http.send({
        url: `${endpoint.baseUrl}/${repositoryOf(endpoint)}/${request.path}${query}`,
        method,
        headers: { ...endpoint.headers, ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
        insecure: endpoint.insecure,
        ...(endpoint.connectTimeoutMs === undefined ? {} : { connectTimeoutMs: endpoint.connectTimeoutMs }),
        signal: request.signal,
      })
      tell({ status: response.statusCode, error: undefined, httpVersion: response.httpVersion })
      return response
    } catch (err) {
      tell({ status: undefined, error: err, httpVersion: undefined })
      throw err
    }
  }

  // A challenge is answered once: a registry that asks again does not want us.
  const ask = async (endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> => {
    const response = await send(endpoint, request, authorizationOf(endpoint))
    // Somebody else's challenge, after a redirect, is none of ours: what we have is for this registry.
    if (response.statusCode !== 401 || response.origin !== new URL(endpoint.baseUrl).origin) return response
    authorizations.delete(endpoint.baseUrl)
    parts.tokens?.forget(identityOf(endpoint))
    const answer = await answerChallenge(auth, {
      endpoint,
      repository: repositoryOf(endpoint),
      challenge: response.headers['www-authenticate'] ?? '',
      credentials: credentialsOf(endpoint),
      tell: (exchange) => parts.observe?.({ endpoint, ...exchange }),
      signal: request.signal,
    })
    if (answer === undefined) return response
    response.resume()
    const second = await send(endpoint, request, answer.authorization)
    if (second.statusCode !== 401) {
      authorizations.set(endpoint.baseUrl, answer.authorization)
      if (answer.expiresInS !== undefined) parts.tokens?.keep(identityOf(endpoint), answer.authorization, answer.expiresInS)
    }
    return second
  }

  const persistent = async (endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> => {
    const startedAt = monotonicMs()
    for (let tries = 1; ; tries++) {
      let pause = jittered(pauseMs(source.retryBaseMs, tries))
      try {
        const response = await ask(endpoint, request)
        const status = response.statusCode ?? 0
        if (status === 200 || status === 206) return response
        const failure = await refusal(endpoint, response)
        if (tries >= triesFor(status)) throw failure
        pause = retryAfterMs(response.headers['retry-after']) ?? pause
        if (monotonicMs() - startedAt + pause > maxWaitMs) throw failure
        noteFailedPart(['registry', `${endpoint.host} ${request.path}`], failure)
      } catch (err) {
        // A connection kept alive may die just when it is used again.
        if (!isReset(err) || tries >= triesFor(500)) throw err
      }
      await delay(pause, request.signal)
    }
  }

  const refusal = async (endpoint: Endpoint, response: HttpResponse): Promise<RegistryError> => {
    const status = response.statusCode ?? 0
    const limits = { host: endpoint.host, maxBytes: maxErrorBytes, stallMs: source.stallTimeoutMs }
    const body = await readBody(response, limits).catch(() => Buffer.alloc(0))
    const detail = errorText(body)
    const text = `${endpoint.host} answers ${status}${detail === '' ? '' : `: ${secrets.redact(detail)}`}${lackOf(endpoint, status)}`
    return new RegistryError(failureOf(status), text, { status, host: endpoint.host })
  }

  // A host that speaks no TLS is not asked for it again.
  const settleFor = (plain: Endpoint): void => {
    const { isPlainTwin: _was, ...settled } = plain
    order = order.flatMap((one) => (one === plain ? [settled] : one.host === plain.host && !one.insecure ? [] : [one]))
  }

  const read = async <T>(request: RegistryRequest, use: (answer: Answer) => Promise<T>): Promise<T> => {
    const failures: RegistryError[] = []
    const wanted = order.filter((endpoint) => mayServe(endpoint, request.path))
    if (wanted.length === 0) throw new RegistryError('not_found', `no endpoint is configured to be asked for ${request.path}`)
    for (const endpoint of wanted) {
      if (endpoint.isPlainTwin === true && !isTlsTrouble(failures.at(-1))) continue
      try {
        return await stage(['registry', `${endpoint.host} ${request.path}`], async () => {
          const answer = { response: await persistent(endpoint, request), endpoint }
          if (endpoint.isPlainTwin === true) settleFor(endpoint)
          return await use(answer)
        })
      } catch (err) {
        request.signal.throwIfAborted()
        if (!(err instanceof RegistryError)) throw err
        failures.push(err)
      }
    }
    throw allFailed(failures)
  }

  return {
    secrets,
    ask,
    read,
    get: (request) => read(request, async (answer) => answer),
    distrust(endpoint) {
      const others = order.filter(({ baseUrl }) => baseUrl !== endpoint.baseUrl)
      order = [...others, endpoint]
      return others.some(({ isPlainTwin }) => isPlainTwin !== true)
    },
    handOn: () => ({ ...source, endpoints: order, authorizations: Object.fromEntries(authorizations) }),
    close: () => http.close(),
  }
}

function secretsOf({ credentials, endpoints, authorizations }: RegistrySource): Secrets {
  const secrets = new Secrets()
  for (const one of [credentials, ...endpoints.map((endpoint) => endpoint.credentials)]) {
    secrets.add(one?.password, one?.identityToken, one?.registryToken, basicPair(one))
  }
  for (const { headers } of endpoints) secrets.add(...Object.values(headers ?? {}))
  for (const value of Object.values(authorizations ?? {})) secrets.add(value.replace(/^\S+ /, ''))
  return secrets
}

export const isByTag = (path: string): boolean => path.startsWith('manifests/') && !path.includes(':')

/** Whether an endpoint is asked for a path. */
export const mayServe = ({ serves = 'both' }: Endpoint, path: string): boolean =>
  serves === 'both' || (serves === 'tags') === isByTag(path)

// A failed write on a reused connection, or its end before any answer.
const isReset = (err: unknown): boolean =>
  err instanceof RegistryError &&
  err.failure === 'unavailable' &&
  /ECONNRESET|EPIPE|hang up|ERR_HTTP2|ERR_STREAM_PREMATURE/.test(err.message)

// The operator allows plain HTTP there: it counts only when nothing that speaks TLS answers.
const isTlsTrouble = (err: RegistryError | undefined): boolean =>
  err !== undefined && err.status === undefined && (err.failure === 'tls' || err.failure === 'unavailable')
