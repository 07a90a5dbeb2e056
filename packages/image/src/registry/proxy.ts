// Which proxy a request goes through, if any, by the rules that Go programs keep: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of this field's other tools.
import { BlockList, isIP } from 'node:net'
import { invalid } from '@coracle/base/errors'
import { isLoopback } from './loopback.ts'

/** Plain data. Proxies are URLs: `http://[user:password@]host[:port]`, or https. */
export interface ProxySettings {
  /** For plain HTTP. */
  readonly http?: string
  /** For TLS. */
  readonly https?: string
  /** Asked directly: `*`, host names (subdomains too), `.domain` (subdomains only), addresses, CIDR ranges; each may end in `:port`. */
  readonly except?: readonly string[]
}

/** The proxy for `url`; undefined: none. Loopback is never asked through one. Throws `invalid_argument` for a proxy that cannot be used. */
export function proxyFor(url: URL, settings: ProxySettings): URL | undefined {
  const text = url.protocol === 'https:' ? settings.https : settings.http
  if (text === undefined || text === '' || isLoopback(url.host)) return undefined
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return (settings.except ?? []).some((pattern) => matches(pattern.trim().toLowerCase(), host, port))
    ? undefined
    : parseProxy(text)
}

/** Throws `invalid_argument`; the message shows no password. */
export function parseProxy(text: string): URL {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (url === null || url.hostname === '') throw invalid(`proxy ${maskedProxy(text)} is no URL: expected http://host:port`)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw invalid(`proxy ${maskedProxy(text)} has the scheme ${url.protocol.slice(0, -1)}: expected http or https`)
  return url
}

/** For messages: without what stands before the `@`. */
export const maskedProxy = (text: string): string => text.replace(/^([a-z0-9+.-]+:\/\/)?.*@/i, '$1***@').slice(0, 256)

/** The Proxy-Authorization header of a proxy with credentials in its URL (RFC 9110 section 11.7.2). */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '') return undefined
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

function matches(pattern: string, host: string, port: string): boolean {
  if (pattern === '') return false
  if (pattern === '*') return true
  if (pattern.includes('/')) return inRange(pattern, host)
  const [, name = pattern, wantedPort] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(pattern) ?? []
  if (wantedPort !== undefined && wantedPort !== port) return false
  const bare = name.replace(/^\[|\]$/g, '').replace(/^\*(?=\.)/, '')
  if (isIP(bare) > 0) return bare === host
  return bare.startsWith('.') ? host.endsWith(bare) : host === bare || host.endsWith(`.${bare}`)
}

function inRange(pattern: string, host: string): boolean {
  const [address = '', bits = ''] = pattern.split('/')
  const family = isIP(address)
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false
  const list = new BlockList()
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  list.addSubnet(address, Number(bits), kind)
  return list.check(host, kind)
}
