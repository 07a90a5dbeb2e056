// Answers to 401: Basic, and Bearer tokens from the realm that the challenge names (distribution's token specification).
import { monotonicMs } from '@coracle/base/clock'
import { isObject, parseJson } from '@coracle/base/parse-json'
import type { Credentials } from '../images.ts'
import { parseChallenges } from './challenge.ts'
import type { Exchange } from './client.ts'
import { type Endpoint, isInsecure, type RegistriesConfig } from './endpoints.ts'
import { errorText, failureOf, RegistryError } from './errors.ts'
import { type HttpClient, type HttpResponse, readBody } from './http.ts'
import { retryAfterIn } from './retry.ts'
import type { Secrets } from './secrets.ts'

export interface AuthDeps {
  readonly http: HttpClient
  readonly secrets: Secrets
  readonly registries: RegistriesConfig
  readonly stallMs: number
}

export interface AuthRequest {
  readonly endpoint: Endpoint
  readonly repository: string
  /** The WWW-Authenticate header of the 401. */
  readonly challenge: string
  readonly credentials: Credentials | undefined
  /** Told of each question to a token service. */
  readonly tell?: (exchange: Omit<Exchange, 'endpoint'>) => void
  readonly signal: AbortSignal
}

const maxTokenBytes = 1024 * 1024

export interface AuthAnswer {
  /** The Authorization header. */
  readonly authorization: string
  /** Of a token. */
  readonly expiresInS?: number
}

/** What answers the challenge; undefined when nothing can. */
export async function answerChallenge(deps: AuthDeps, request: AuthRequest): Promise<AuthAnswer | undefined> {
  const challenges = parseChallenges(request.challenge)
  const { credentials } = request
  const bearer = challenges.find((challenge) => challenge.scheme === 'bearer' && challenge.parameters.has('realm'))
  if (bearer !== undefined) return bearerToken(deps, request, { parameters: bearer.parameters, credentials })
  if (!challenges.some((challenge) => challenge.scheme === 'basic')) return undefined
  const pair = basicPair(credentials)
  return pair === undefined ? undefined : { authorization: `Basic ${pair}` }
}

/** Why there are no credentials for a host that wants some, where some are configured. */
export const lackOf = ({ credentialsProblem }: Endpoint, status: number): string =>
  (status === 401 || status === 403) && credentialsProblem !== undefined ? ` (${credentialsProblem})` : ''

/** base64 of `user:password`. */
export function basicPair(credentials: Credentials | undefined): string | undefined {
  if (credentials?.username === undefined || credentials.password === undefined) return undefined
  return Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')
}

interface TokenRequest {
  readonly parameters: ReadonlyMap<string, string>
  readonly credentials: Credentials | undefined
}

async function bearerToken(deps: AuthDeps, request: AuthRequest, token: TokenRequest): Promise<AuthAnswer> {
  const realm = realmOf(deps, request.endpoint, token.parameters.get('realm') ?? '')
  const scope = token.parameters.get('scope') || `repository:${request.repository}:pull`
  const service = token.parameters.get('service')
  const identity = token.credentials?.identityToken
  if (identity !== undefined) {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'coracle', scope, refresh_token: identity })
    if (service !== undefined) form.set('service', service)
    const answer = await exchange(deps, request, { realm, form })
    if (answer !== undefined) return answer
  }
  const query = new URL(realm)
  if (service !== undefined) query.searchParams.set('service', service)
  query.searchParams.set('scope', scope)
  if (token.credentials?.username) query.searchParams.set('account', token.credentials.username)
  const pair = basicPair(token.credentials)
  const answer = await exchange(deps, request, {
    realm: query,
    ...(pair === undefined ? {} : { authorization: `Basic ${pair}` }),
  })
  if (answer === undefined) throw new RegistryError('protocol', `token service ${realm.host} has no such page`)
  return answer
}

// A token service may only be asked in plain text where the registry itself may be.
function realmOf(deps: AuthDeps, endpoint: Endpoint, text: string): URL {
  const realm = URL.parse(text)
  const refused = (why: string) => new RegistryError('protocol', `${endpoint.host} names a token service ${why}: refused`)
  if (realm === null || (realm.protocol !== 'https:' && realm.protocol !== 'http:')) throw refused('that is no http or https URL')
  if (realm.username !== '' || realm.password !== '') throw refused('with credentials in its URL')
  const plainIsFine = endpoint.insecure && (realm.host === endpoint.host || isInsecure(realm.host, deps.registries))
  if (realm.protocol === 'http:' && !plainIsFine) throw refused('that speaks plain HTTP')
  return realm
}

interface Exchanging {
  readonly realm: URL
  readonly form?: URLSearchParams
  readonly authorization?: string
}

// Undefined: the service does not know this method.
async function exchange(
  deps: AuthDeps,
  request: AuthRequest,
  { realm, form, authorization }: Exchanging,
): Promise<AuthAnswer | undefined> {
  const response = await sendToRealm(deps, request, {
    realm,
    ...(form === undefined ? {} : { form }),
    ...(authorization === undefined ? {} : { authorization }),
  })
  const body = await readBody(response, { host: realm.host, maxBytes: maxTokenBytes, stallMs: deps.stallMs })
  const status = response.statusCode ?? 0
  if (form !== undefined && (status === 404 || status === 405)) return undefined
  if (status !== 200) {
    const failure = status === 400 ? 'unauthorized' : failureOf(status)
    const detail = deps.secrets.redact(errorText(body))
    const text = `token service ${realm.host} answers ${status}${detail === '' ? '' : `: ${detail}`}`
    throw new RegistryError(failure, text + lackOf(request.endpoint, status), {
      status,
      host: realm.host,
      ...retryAfterIn(response),
    })
  }
  return tokenOf(deps, realm, body)
}

async function sendToRealm(
  deps: AuthDeps,
  request: AuthRequest,
  { realm, form, authorization }: Exchanging,
): Promise<HttpResponse> {
  const startedAt = monotonicMs()
  const method = form === undefined ? 'GET' : 'POST'
  const tell = (outcome: Pick<Exchange, 'status' | 'error' | 'httpVersion'>) =>
    request.tell?.({ method, path: `token service ${realm.host}`, ms: monotonicMs() - startedAt, ...outcome })
  try {
    const response = await deps.http.send({
      url: realm.href,
      method,
      headers: {
        ...(realm.origin === new URL(request.endpoint.baseUrl).origin ? request.endpoint.headers : {}),
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
        ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(form === undefined ? {} : { body: form.toString() }),
      insecure: request.endpoint.insecure,
      // A registry with an authority of its own has a token service of the same.
      trust: request.endpoint.host,
      signal: request.signal,
    })
    tell({ status: response.statusCode, error: undefined, httpVersion: response.httpVersion })
    return response
  } catch (err) {
    tell({ status: undefined, error: err, httpVersion: undefined })
    throw err
  }
}

// Without expires_in it lives as long as the specification of tokens says.
const defaultLifeS = 60

function tokenOf(deps: AuthDeps, realm: URL, body: Buffer): AuthAnswer {
  const answer = parseJson(`answer of token service ${realm.host}`, body, { maxBytes: maxTokenBytes })
  const fields = isObject(answer) ? answer : {}
  const token = fields['token'] ?? fields['access_token']
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new RegistryError('protocol', `token service ${realm.host} answers without a token`)
  deps.secrets.add(token)
  const expires = fields['expires_in']
  return { authorization: `Bearer ${token}`, expiresInS: typeof expires === 'number' ? expires : defaultLifeS }
}
