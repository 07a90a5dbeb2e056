// One endpoint, asked once: with the authorization that it wants, and no other's.
import { monotonicMs } from '@coracle/base/clock'
import type { Credentials } from '../images.ts'
import { type AuthDeps, answerChallenge, basicPair } from './auth.ts'
import type { ClientParts, Exchange, RegistryRequest, RegistrySource } from './client.ts'
import { type Endpoint, keyOfEndpoint } from './endpoints.ts'
import { createHttpClient, type HttpClient, type HttpResponse } from './http.ts'
import { Secrets } from './secrets.ts'
import type { TokenIdentity } from './token-cache.ts'

export class EndpointAccess {
  readonly secrets: Secrets
  readonly #source: RegistrySource
  readonly #parts: ClientParts
  readonly #http: HttpClient
  readonly #auth: AuthDeps
  readonly #authorizations: Map<string, string>

  constructor(source: RegistrySource, parts: ClientParts) {
    this.#source = source
    this.#parts = parts
    this.secrets = secretsOf(source)
    const { tls, proxies, registries, stallTimeoutMs: stallMs } = source
    this.#http = createHttpClient({
      timeoutMs: stallMs,
      ...(tls === undefined ? {} : { tls }),
      ...(proxies === undefined ? {} : { proxies }),
      bulk: parts.bulk === true,
    })
    this.#auth = { http: this.#http, secrets: this.secrets, registries, stallMs }
    this.#authorizations = new Map(Object.entries(source.authorizations ?? {}))
  }

  /** Whatever its status. A challenge is answered once: a registry that asks again does not want us. */
  async ask(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    const known = this.#authorizationOf(endpoint)
    const response = await this.#send(endpoint, request, known)
    // Somebody else's challenge, after a redirect, is none of ours: what we have is for this registry.
    if (response.statusCode !== 401 || response.origin !== new URL(endpoint.baseUrl).origin) {
      // Of an earlier pull: the workers need it too.
      if (known !== undefined) this.#authorizations.set(keyOfEndpoint(endpoint), known)
      return response
    }
    const identity = this.#identityOf(endpoint)
    this.#authorizations.delete(keyOfEndpoint(endpoint))
    this.#parts.tokens?.forget(identity)
    const answer = await answerChallenge(this.#auth, {
      endpoint,
      repository: identity.repository,
      challenge: response.headers['www-authenticate'] ?? '',
      credentials: identity.credentials,
      tell: (exchange) => this.#parts.observe?.({ endpoint, ...exchange }),
      signal: request.signal,
    })
    if (answer === undefined) return response
    response.resume()
    const second = await this.#send(endpoint, request, answer.authorization)
    if (second.statusCode !== 401) {
      this.#authorizations.set(keyOfEndpoint(endpoint), answer.authorization)
      if (answer.expiresInS !== undefined) this.#parts.tokens?.keep(identity, answer.authorization, answer.expiresInS)
    }
    return second
  }

  /** What worked so far, by endpoint. */
  authorizations(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#authorizations)
  }

  close(): void {
    this.#http.close()
  }

  #identityOf(endpoint: Endpoint): TokenIdentity {
    return {
      baseUrl: endpoint.baseUrl,
      repository: endpoint.repository ?? this.#source.repository,
      credentials: this.#credentialsOf(endpoint),
    }
  }

  #credentialsOf(endpoint: Endpoint): Credentials | undefined {
    return (endpoint.isOrigin ? this.#source.credentials : undefined) ?? endpoint.credentials
  }

  #authorizationOf(endpoint: Endpoint): string | undefined {
    const { registryToken } = this.#credentialsOf(endpoint) ?? {}
    if (registryToken !== undefined) return `Bearer ${registryToken}`
    const cached = this.#authorizations.get(keyOfEndpoint(endpoint)) ?? this.#parts.tokens?.find(this.#identityOf(endpoint))
    if (cached !== undefined) this.secrets.add(cached.replace(/^\S+ /, ''))
    return cached
  }

  async #send(endpoint: Endpoint, request: RegistryRequest, authorization: string | undefined): Promise<HttpResponse> {
    const startedAt = monotonicMs()
    const method = request.method ?? 'GET'
    const tell = (outcome: Pick<Exchange, 'status' | 'error' | 'httpVersion'>) =>
      this.#parts.observe?.({ endpoint, method, path: request.path, ms: monotonicMs() - startedAt, ...outcome })
    try {
      const query = endpoint.query === undefined ? '' : `${request.path.includes('?') ? '&' : '?'}${endpoint.query}`
      const response = await this.#http.send({
        url: `${endpoint.baseUrl}/${endpoint.repository ?? this.#source.repository}/${request.path}${query}`,
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
