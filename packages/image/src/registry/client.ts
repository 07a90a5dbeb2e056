// A client for one repository on one or more endpoints: authorization, retries, and the next endpoint when one cannot help.
import type { IncomingMessage } from 'node:http'
import { monotonicMs } from '@coracle/base/clock'
import { delay } from '@coracle/base/signals'
import type { Credentials } from '../images.ts'
import { type AuthDeps, answerChallenge } from './auth.ts'
import type { Endpoint, RegistriesConfig } from './endpoints.ts'
import { failureOf, RegistryError } from './errors.ts'
import { createHttpClient, readBody } from './http.ts'
import { Secrets } from './secrets.ts'

/** Plain data, so that it can go to the worker as it is. */
export interface RegistrySource {
  readonly endpoints: readonly Endpoint[]
  readonly repository: string
  readonly credentials?: Credentials
  readonly registries: RegistriesConfig
  readonly stallTimeoutMs: number
  /** First pause before a retry; doubles each time. */
  readonly retryBaseMs: number
  readonly authorities?: Readonly<Record<string, readonly string[]>>
  /** Authorization that worked already, by endpoint URL. */
  readonly authorizations?: Readonly<Record<string, string>>
}

export interface RegistryRequest {
  /** Below the repository: `manifests/latest`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

export interface RegistryClient {
  /**
   * GET from the first endpoint that has it. Resolves with status 200 or 206 and an unread body, rejects with RegistryError.
   * Busy and failing servers are asked again; one that cannot be reached is not, as the caller's caller has its own patience.
   */
  get(request: RegistryRequest): Promise<{ readonly response: IncomingMessage; readonly endpoint: Endpoint }>
  /** Authorizations that worked, to hand on. */
  authorizations(): Readonly<Record<string, string>>
  readonly secrets: Secrets
  close(): void
}

const maxErrorBytes = 64 * 1024
const maxRetryAfterMs = 60_000
const maxTries = 5
const maxServerErrorTries = 3

export function createRegistryClient(source: RegistrySource): RegistryClient {
  const secrets = new Secrets()
  const { username, password, identityToken, registryToken } = source.credentials ?? {}
  secrets.add(password, identityToken, registryToken)
  if (password !== undefined) secrets.add(Buffer.from(`${username}:${password}`).toString('base64'))
  const http = createHttpClient({
    timeoutMs: source.stallTimeoutMs,
    ...(source.authorities === undefined ? {} : { authorities: source.authorities }),
  })
  const auth: AuthDeps = { http, secrets, registries: source.registries, stallMs: source.stallTimeoutMs }
  const authorizations = new Map<string, string>(Object.entries(source.authorizations ?? {}))
  for (const value of authorizations.values()) secrets.add(value.replace(/^\S+ /, ''))

  const initialAuthorization = (endpoint: Endpoint): string | undefined =>
    registryToken !== undefined && endpoint.isOrigin ? `Bearer ${registryToken}` : authorizations.get(endpoint.baseUrl)

  const send = (endpoint: Endpoint, request: RegistryRequest, authorization: string | undefined) =>
    http.send({
      url: `${endpoint.baseUrl}/${source.repository}/${request.path}`,
      headers: { ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
      insecure: endpoint.insecure,
      signal: request.signal,
    })

  // A challenge is answered once: a registry that asks again does not want us.
  const authorized = async (endpoint: Endpoint, request: RegistryRequest): Promise<IncomingMessage> => {
    const response = await send(endpoint, request, initialAuthorization(endpoint))
    if (response.statusCode !== 401) return response
    const challenge = response.headers['www-authenticate'] ?? ''
    authorizations.delete(endpoint.baseUrl)
    const authorization = await answerChallenge(auth, {
      endpoint,
      repository: source.repository,
      challenge,
      credentials: source.credentials,
      signal: request.signal,
    })
    if (authorization === undefined) return response
    response.resume()
    const second = await send(endpoint, request, authorization)
    if (second.statusCode !== 401) authorizations.set(endpoint.baseUrl, authorization)
    return second
  }

  const persistent = async (endpoint: Endpoint, request: RegistryRequest): Promise<IncomingMessage> => {
    const startedAt = monotonicMs()
    for (let tries = 1; ; tries++) {
      let pauseMs = source.retryBaseMs * 2 ** (tries - 1)
      try {
        const response = await authorized(endpoint, request)
        const status = response.statusCode ?? 0
        if (status === 200 || status === 206) return response
        const failure = await refusal(endpoint, response)
        if (tries >= triesFor(status)) throw failure
        pauseMs = retryAfterMs(response.headers['retry-after']) ?? pauseMs
        if (monotonicMs() - startedAt + pauseMs > maxRetryAfterMs * 2) throw failure
      } catch (err) {
        // A connection kept alive may die just when it is used again.
        if (!isReset(err) || tries >= maxServerErrorTries) throw err
      }
      await delay(Math.min(pauseMs, maxRetryAfterMs), request.signal)
    }
  }

  const refusal = async (endpoint: Endpoint, response: IncomingMessage): Promise<RegistryError> => {
    const status = response.statusCode ?? 0
    const body = await readBody(response, { host: endpoint.host, maxBytes: maxErrorBytes, stallMs: source.stallTimeoutMs }).catch(
      () => Buffer.alloc(0),
    )
    const detail = errorText(body)
    const text = `${endpoint.host} answers ${status}${detail === '' ? '' : `: ${secrets.redact(detail)}`}`
    return new RegistryError(failureOf(status), text, { status })
  }

  return {
    secrets,
    authorizations: () => Object.fromEntries(authorizations),
    close: () => http.close(),
    async get(request) {
      const failures: unknown[] = []
      for (const endpoint of source.endpoints) {
        try {
          return { response: await persistent(endpoint, request), endpoint }
        } catch (err) {
          request.signal.throwIfAborted()
          if (!(err instanceof RegistryError)) throw err
          failures.push(err)
        }
      }
      throw worst(failures)
    },
  }
}

const triesFor = (status: number): number =>
  status === 429 ? maxTries : status >= 500 || status === 408 ? maxServerErrorTries : 1

// A failed write on a reused connection, or its end before any answer.
const isReset = (err: unknown): boolean =>
  err instanceof RegistryError && err.failure === 'unavailable' && /ECONNRESET|EPIPE|hang up/.test(err.message)

/** Retry-After as seconds or an HTTP date; undefined when absent or absurd. */
export function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,12}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms >= 0 ? Math.min(ms, maxRetryAfterMs) : undefined
}

// The last endpoint is the registry itself: its word counts, the others' are told beside it.
function worst(failures: readonly unknown[]): unknown {
  const last = failures.at(-1)
  if (failures.length === 1 || !(last instanceof RegistryError)) return last
  const all = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))).join('; ')
  return new RegistryError(last.failure, all, last.status === undefined ? {} : { status: last.status })
}

// {"errors":[{"code":"DENIED","message":"…"}]} as the distribution specification has it, else the text itself.
function errorText(body: Buffer): string {
  const text = body.toString('utf8').trim()
  try {
    const errors = (JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] }).errors
    if (Array.isArray(errors)) return errors.map((error) => `${error?.code ?? ''} ${error?.message ?? ''}`.trim()).join(', ')
  } catch {
    // No JSON: shown as it is.
  }
  return text
}
