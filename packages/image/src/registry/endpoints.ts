// Where to ask for an image: scheme, host and path of each place; plain HTTP only where it is allowed.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Credentials } from '../images.ts'
import type { HelperSettings } from './credential-helper.ts'
import type { HostSettings } from './files/hosts-toml.ts'
import type { RegistryFilePaths } from './files/registry-files.ts'
import { isLoopback } from './loopback.ts'
import type { ProxySettings } from './proxy.ts'

/** What the operator says about registries in our own configuration. Hosts are `host` or `host:port`, as in references. */
export interface RegistriesConfig {
  /** Hosts that speak plain HTTP. Loopback literals and `localhost` always may. */
  readonly insecureHosts?: readonly string[]
  /** Mirrors by registry, asked in order before the registry: `host[:port][/prefix]` or a URL. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>
  /** PEM files of certificate authorities by host, besides those of the system. */
  readonly caFiles?: Readonly<Record<string, string>>
  /** PEM files by host. */
  readonly clientCertificates?: Readonly<Record<string, { readonly certificateFile: string; readonly keyFile: string }>>
  /** Hosts whose certificates are not checked. */
  readonly skipVerify?: readonly string[]
  /** Hosts that are never asked. */
  readonly blocked?: readonly string[]
  /** Where a key of ours (`registries.HOST.mirrors`) comes from, for explanations. */
  readonly from?: Readonly<Record<string, string>>
  /** What others wrote. */
  readonly files?: RegistryFilePaths
  readonly proxies?: ProxySettings
  readonly helpers?: HelperSettings
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
  /** Whoever answers there is believed. */
  readonly skipsVerify?: boolean
}

/** Tells endpoints of one source apart. */
export const keyOfEndpoint = ({ baseUrl, repository }: Endpoint): string => `${baseUrl} ${repository ?? ''}`

/** An endpoint and what chose it. */
export interface Place {
  readonly endpoint: Endpoint
  readonly settings?: HostSettings
}

export interface Circumstances {
  readonly config: RegistriesConfig
  /** Hosts with certificates of their own: these speak TLS, also on loopback. */
  readonly secureHosts: ReadonlySet<string>
  /** The registry of the reference. */
  readonly registry: string
}

export const isInsecure = (host: string, config: Pick<RegistriesConfig, 'insecureHosts'>): boolean =>
  isLoopback(host) || (config.insecureHosts ?? []).includes(host)

/** The host that serves a registry. */
export const hostOfRegistry = (registry: string): string => (registry === 'docker.io' ? 'registry-1.docker.io' : registry)

function isPlain(host: string, { config, secureHosts }: Circumstances): boolean {
  if (config.insecureHosts?.includes(host) === true) return true
  const hasTls =
    secureHosts.has(host) ||
    config.caFiles?.[host] !== undefined ||
    config.clientCertificates?.[host] !== undefined ||
    config.skipVerify?.includes(host) === true
  return isLoopback(host) && !hasTls
}

/**
 * `host[:port]/repository` as endpoints. `insecure` is registries.conf's word: TLS without a look at the certificate, and where there is
 * no TLS, without.
 */
export function endpointsAt(name: string, at: Circumstances & { readonly insecure?: boolean }): readonly Endpoint[] {
  const slash = name.indexOf('/')
  const registry = slash < 0 ? name : name.slice(0, slash)
  const host = hostOfRegistry(registry)
  const own = { host, isOrigin: registry === at.registry, ...(slash < 0 ? {} : { repository: name.slice(slash + 1) }) }
  const plain: Endpoint = { ...own, baseUrl: `http://${host}/v2`, insecure: true }
  // Loopback is no exception where the operator says how it is: a registry there may well speak TLS.
  const isSaid = at.insecure === true && at.config.insecureHosts?.includes(registry) !== true
  if (!isSaid && isPlain(registry, at)) return [plain]
  const secure: Endpoint = { ...own, baseUrl: `https://${host}/v2`, insecure: false }
  return at.insecure === true
    ? [
        { ...secure, skipsVerify: true },
        { ...plain, isPlainTwin: true },
      ]
    : [secure]
}

/** `host[:port][/prefix]` or a URL. Throws `invalid_argument`. */
export function mirrorAt(mirror: string, at: Circumstances): Endpoint {
  const hasScheme = /^https?:\/\//.test(mirror)
  const host = mirror.replace(/^https?:\/\//, '').split('/')[0] ?? ''
  const url = URL.parse(hasScheme ? mirror : `${isPlain(host, at) ? 'http' : 'https'}://${mirror}`)
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
