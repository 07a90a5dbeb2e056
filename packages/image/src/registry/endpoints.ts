// Where to ask for an image: mirrors first, then the registry itself; plain HTTP only where it is allowed.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Credentials } from '../images.ts'
import { isLoopback } from './loopback.ts'

/** What the operator says about registries. Hosts are `host` or `host:port`, as in references. */
export interface RegistriesConfig {
  /** Hosts that speak plain HTTP. Loopback literals and `localhost` always may. */
  readonly insecureHosts?: readonly string[]
  /** Mirrors by registry, asked in order before the registry: `host[:port][/prefix]` or a URL. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>
  /** PEM files of certificate authorities by host, besides those of the system. */
  readonly caFiles?: Readonly<Record<string, string>>
  /** Hosts that are never asked. */
  readonly blocked?: readonly string[]
}

/** One place to ask. Plain data. */
export interface Endpoint {
  /** Scheme, host and prefix, without a trailing slash: `https://registry-1.docker.io/v2`. */
  readonly baseUrl: string
  /** `host[:port]`, for messages. */
  readonly host: string
  readonly insecure: boolean
  /** The registry that the reference names: credentials of the request go to it, never to a mirror. */
  readonly isOrigin: boolean
  /** What the repository is called there. Default: as in the source. */
  readonly repository?: string
  /** Added to each URL: `ns=docker.io`. */
  readonly query?: string
  /** What it may be asked for: tags need one that resolves, everything else goes by digest. Default both. */
  readonly serves?: 'both' | 'tags' | 'digests'
  /** Sent with each request to this very host. */
  readonly headers?: Readonly<Record<string, string>>
  readonly connectTimeoutMs?: number
  /** Of this host, from the operator's files. */
  readonly credentials?: Credentials
  /** Why there are none although they are configured. */
  readonly credentialsProblem?: string
  /** The same host as the one before without TLS: asked only when TLS does not come about there. */
  readonly isPlainTwin?: boolean
}

export const isInsecure = (host: string, config: RegistriesConfig): boolean =>
  isLoopback(host) || (config.insecureHosts ?? []).includes(host)

/** The endpoints of `registry`, in the order to try them. Throws `invalid_argument` for a bad mirror, `failed_precondition`-like refusal when blocked. */
export function endpointsOf(registry: string, config: RegistriesConfig): readonly Endpoint[] {
  if (config.blocked?.includes(registry)) throw invalid(`registry ${quote(registry)} is blocked by the configuration`)
  const mirrors = (config.mirrors?.[registry] ?? []).map((mirror) => mirrorEndpoint(mirror, config))
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry
  const insecure = isInsecure(registry, config)
  return [...mirrors, { baseUrl: `${insecure ? 'http' : 'https'}://${host}/v2`, host, insecure, isOrigin: true }]
}

function mirrorEndpoint(mirror: string, config: RegistriesConfig): Endpoint {
  const hasScheme = /^https?:\/\//.test(mirror)
  const host = mirror.replace(/^https?:\/\//, '').split('/')[0] ?? ''
  const url = URL.parse(hasScheme ? mirror : `${isInsecure(host, config) ? 'http' : 'https'}://${mirror}`)
  if (url === null || url.username !== '' || url.search !== '')
    throw invalid(`mirror ${quote(mirror)} must be a host or an http(s) URL`)
  const path = url.pathname.replace(/\/+$/, '')
  const [prefix = ''] = path.split(/\/v2(?=\/|$)/)
  const rest = path.slice(prefix.length).replace(/^\/v2/, '')
  return {
    baseUrl: `${url.protocol}//${url.host}${prefix === '' || path.includes('/v2') ? `${prefix}/v2${rest}` : `/v2${prefix}`}`,
    host: url.host,
    insecure: url.protocol === 'http:',
    isOrigin: false,
  }
}
