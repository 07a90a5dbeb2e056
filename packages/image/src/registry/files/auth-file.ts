// auth.json of the containers tools and config.json of docker: credentials by host, or by host and path (containers-auth.json(5)).
import { invalid } from '@coracle/base/errors'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import type { Credentials } from '../../images.ts'

export interface AuthFile {
  readonly file: string
  /** By `host[:port][/path]`. */
  readonly auths: ReadonlyMap<string, Credentials>
  /** Names of helpers, without `docker-credential-`, by `host[:port][/path]`. */
  readonly helpers: ReadonlyMap<string, string>
  /** Helper for all other hosts. */
  readonly store: string | undefined
}

const maxAuthFileBytes = 4 * 1024 * 1024

/** Throws `invalid_argument` naming file and key; values are never shown. */
export function parseAuthFile(file: string, text: string): AuthFile {
  let top: unknown
  try {
    top = parseJson(file, text, { maxBytes: maxAuthFileBytes })
  } catch (err) {
    // JSON.parse quotes what it does not understand: that may be a password.
    throw invalid(`${file}: is no JSON${lineOf(err, text)} (content not shown)`)
  }
  if (!isObject(top)) throw invalid(`${file}: is no JSON object`)
  const store = top['credsStore']
  if (store !== undefined && typeof store !== 'string') throw invalid(`${file}: credsStore has the wrong type: expected a string`)
  return {
    file,
    auths: firstOfEach(entriesOf(file, top, 'auths').flatMap(([key, value]) => authOf(file, key, value))),
    helpers: firstOfEach(entriesOf(file, top, 'credHelpers').map(([key, value]) => [key, helperOf(file, key, value)] as const)),
    store: store === undefined || store === '' ? undefined : helperOf(file, 'credsStore', store),
  }
}

function lineOf(err: unknown, text: string): string {
  const cause = err instanceof Error ? err.cause : undefined
  const position = /position (\d+)/.exec(cause instanceof Error ? cause.message : '')?.[1]
  return position === undefined ? '' : `, line ${text.slice(0, Number(position)).split('\n').length}`
}

/** Keys as they are looked for: those that are written so first, then URLs in the order of the file. */
function entriesOf(file: string, top: JsonObject, name: string): (readonly [string, unknown])[] {
  const value = top[name]
  if (value === undefined || value === null) return []
  if (!isObject(value)) throw invalid(`${file}: ${name} has the wrong type: expected an object`)
  const isOther = (key: string) => Number(normalisedKey(key) !== key)
  const sorted = Object.entries(value).toSorted(([a], [b]) => isOther(a) - isOther(b))
  return sorted.map(([key, entry]) => [normalisedKey(key), entry])
}

// `docker login` keeps the tokens it renews by under more URLs of the same host: `https://index.docker.io/v1/refresh-token`.
const firstOfEach = <T>(entries: readonly (readonly [string, T])[]): Map<string, T> => new Map(entries.toReversed())

/** Keys of old are URLs: `https://index.docker.io/v1/`. */
export function normalisedKey(key: string): string {
  const isUrl = /^https?:\/\//.test(key)
  const bare = key.replace(/^https?:\/\//, '').replace(/\/+$/, '')
  const text = isUrl || /\/v[12]$/.test(bare) ? (bare.split('/')[0] ?? bare) : bare
  return text.replace(/^(index\.docker\.io|registry-1\.docker\.io)(?=\/|$)/, 'docker.io')
}

function authOf(file: string, key: string, value: unknown): [string, Credentials][] {
  if (!isObject(value)) throw invalid(`${file}: auths.${JSON.stringify(key)} has the wrong type: expected an object`)
  const text = (name: string): string | undefined => {
    const field = value[name]
    if (field !== undefined && typeof field !== 'string')
      throw invalid(`${file}: auths.${JSON.stringify(key)}.${name} has the wrong type: expected a string`)
    return field === '' ? undefined : field
  }
  const registryToken = text('registrytoken')
  if (registryToken !== undefined) return [[key, { registryToken }]]
  const auth = text('auth')
  const pair = auth === undefined ? pairOf(text('username'), text('password')) : decoded(file, key, auth)
  const identityToken = text('identitytoken')
  if (identityToken !== undefined) return [[key, { identityToken, ...(pair === undefined ? {} : { username: pair.username }) }]]
  // An entry without anything says only that a helper knows the host.
  return pair === undefined ? [] : [[key, pair]]
}

const pairOf = (
  username: string | undefined,
  password: string | undefined,
): { username: string; password: string } | undefined =>
  username === undefined || password === undefined ? undefined : { username, password }

function decoded(file: string, key: string, auth: string): { username: string; password: string } {
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = text.indexOf(':')
  if (colon < 1)
    throw invalid(`${file}: auths.${JSON.stringify(key)}.auth must be the base64 of "username:password" (value not shown)`)
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

function helperOf(file: string, key: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value))
    throw invalid(`${file}: ${JSON.stringify(key)} names no credential helper: expected a word such as ecr-login`)
  return value
}

/** The keys under which credentials for `host/repository` may be, most specific first. */
export function authKeys(host: string, repository: string): readonly string[] {
  const registry = normalisedKey(host)
  const parts = repository.split('/')
  return [...parts.map((_part, i) => `${registry}/${parts.slice(0, parts.length - i).join('/')}`), registry]
}
