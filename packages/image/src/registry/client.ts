// A client for one repository on one or more endpoints: authorization, retries, and the next endpoint when one cannot help.
import { monotonicMs } from '@coracle/base/clock'
import { delay } from '@coracle/base/signals'
import { noteFailedPart, stage } from '@coracle/base/stages'
import type { Credentials } from '../images.ts'
import { lackOf } from './auth.ts'
import { EndpointAccess } from './endpoint-access.ts'
import { type Endpoint, keyOfEndpoint, type RegistriesConfig } from './endpoints.ts'
import { allFailed, errorText, failureOf, RegistryError } from './errors.ts'
import { type HttpResponse, readBody } from './http.ts'
import type { ProxySettings } from './proxy.ts'
import { jittered, pauseMs, retryAfterIn, triesFor } from './retry.ts'
import type { Secrets } from './secrets.ts'
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
  /** Authorization that worked already, by keyOfEndpoint. */
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
  /** For large blobs: what is downloaded comes in memory that is used again. */
  readonly bulk?: boolean
}

const maxErrorBytes = 64 * 1024
const maxWaitMs = 120_000

export function createRegistryClient(source: RegistrySource, parts: ClientParts = {}): RegistryClient {
  const access = new EndpointAccess(source, parts)
  const order = new EndpointOrder(source.endpoints)
  const read = async <T>(request: RegistryRequest, use: (answer: Answer) => Promise<T>): Promise<T> => {
    const failures: RegistryError[] = []
    for (const endpoint of order.askedFor(request.path)) {
      if (endpoint.isPlainTwin === true && !isTlsTrouble(failures.at(-1))) continue
      try {
        return await stage(['registry', `${endpoint.host} ${request.path}`], async () => {
          const response = await persistent({ access, source, endpoint }, request)
          if (endpoint.isPlainTwin === true) order.settleFor(endpoint)
          return await use({ response, endpoint })
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
    secrets: access.secrets,
    ask: (endpoint, request) => access.ask(endpoint, request),
    read,
    get: (request) => read(request, async (answer) => answer),
    distrust: (endpoint) => order.distrust(endpoint),
    handOn: () => ({ ...source, endpoints: order.all(), authorizations: access.authorizations() }),
    close: () => access.close(),
  }
}

interface Persistence {
  readonly access: EndpointAccess
  readonly source: RegistrySource
  readonly endpoint: Endpoint
}

/** Asks again when the server is busy or fails, with pauses. Resolves with status 200 or 206 only. */
async function persistent({ access, source, endpoint }: Persistence, request: RegistryRequest): Promise<HttpResponse> {
  const startedAt = monotonicMs()
  for (let tries = 1; ; tries++) {
    let failure: RegistryError
    try {
      const response = await access.ask(endpoint, request)
      const status = response.statusCode ?? 0
      if (status === 200 || status === 206) return response
      failure = await refusal({ access, source, endpoint }, response)
    } catch (err) {
      // Also of the token service, which is as busy as its registry.
      if (!(err instanceof RegistryError)) throw err
      failure = err
    }
    const { status } = failure
    if (tries >= (status === undefined && isReset(failure) ? triesFor(500) : triesFor(status ?? 0))) throw failure
    const pause = failure.retryAfterMs ?? jittered(pauseMs(source.retryBaseMs, tries, status))
    if (monotonicMs() - startedAt + pause > maxWaitMs) throw failure
    noteFailedPart(['registry', `${endpoint.host} ${request.path}`], failure)
    await delay(pause, request.signal)
  }
}

async function refusal({ access, source, endpoint }: Persistence, response: HttpResponse): Promise<RegistryError> {
  const status = response.statusCode ?? 0
  if (status === 407) {
    response.destroy()
    return new RegistryError('unavailable', `the proxy for ${endpoint.host} answers 407, it wants other credentials`, { status })
  }
  const limits = { host: endpoint.host, maxBytes: maxErrorBytes, stallMs: source.stallTimeoutMs }
  const body = await readBody(response, limits).catch(() => Buffer.alloc(0))
  const detail = access.secrets.redact(errorText(body))
  const host = hostThatAnswered(response, endpoint)
  const who = host === endpoint.host ? host : `${host}, where ${endpoint.host} sent us,`
  const text = `${who} answers ${status}${detail === '' ? '' : `: ${detail}`}${lackOf(endpoint, status)}`
  return new RegistryError(failureOf(status), text, { status, host, ...retryAfterIn(response) })
}

/** Where a redirect led, else the endpoint's own host. */
function hostThatAnswered({ origin }: HttpResponse, { baseUrl, host }: Endpoint): string {
  return origin === undefined || origin === new URL(baseUrl).origin ? host : new URL(origin).host
}

/** The endpoints in the order in which they are asked: it changes with what is learned of them. */
class EndpointOrder {
  #order: readonly Endpoint[]

  constructor(endpoints: readonly Endpoint[]) {
    this.#order = endpoints
  }

  all(): readonly Endpoint[] {
    return this.#order
  }

  /** Throws RegistryError `not_found` when there is none. */
  askedFor(path: string): readonly Endpoint[] {
    const wanted = this.#order.filter((endpoint) => mayServe(endpoint, path))
    if (wanted.length === 0) throw new RegistryError('not_found', `no endpoint is configured to be asked for ${path}`)
    return wanted
  }

  distrust(endpoint: Endpoint): boolean {
    const key = keyOfEndpoint(endpoint)
    const others = this.#order.filter((one) => keyOfEndpoint(one) !== key)
    this.#order = [...others, ...this.#order.filter((one) => keyOfEndpoint(one) === key)]
    return others.some(({ isPlainTwin }) => isPlainTwin !== true)
  }

  /** A host that speaks no TLS is not asked for it again. */
  settleFor(plain: Endpoint): void {
    const { isPlainTwin: _was, ...settled } = plain
    this.#order = this.#order.flatMap((one) =>
      one === plain ? [settled] : one.host === plain.host && !one.insecure ? [] : [one],
    )
  }
}

export const isByTag = (path: string): boolean => path.startsWith('manifests/') && !path.includes(':')

/** Whether an endpoint is asked for a path. */
export const mayServe = ({ serves = 'both' }: Endpoint, path: string): boolean =>
  serves === 'both' || (serves === 'tags') === isByTag(path)

// A failed write on a connection kept alive that died just when it was used again, or its end before any answer.
const isReset = (err: RegistryError): boolean =>
  err.failure === 'unavailable' && /ECONNRESET|EPIPE|hang up|ERR_HTTP2|ERR_STREAM_PREMATURE/.test(err.message)

// The operator allows plain HTTP there: it counts only when nothing that speaks TLS answers.
const isTlsTrouble = (err: RegistryError | undefined): boolean =>
  err !== undefined && err.status === undefined && (err.failure === 'tls' || err.failure === 'unavailable')
