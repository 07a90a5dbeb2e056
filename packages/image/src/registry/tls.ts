// What TLS needs to know of each host. Plain data: the unpack worker gets it from the daemon, as it cannot open a file.
import { X509Certificate } from 'node:crypto'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { RegistryError } from './errors.ts'

/** PEM texts. */
export interface TlsSettings {
  /** Trusted for this host besides those of `*`. */
  readonly authorities?: readonly string[]
  /** Shown to this host when it asks. */
  readonly certificate?: string
  readonly key?: string
  /** Whoever answers is believed. */
  readonly skipVerify?: boolean
}

/** By `host[:port]`; `*`: what is trusted for every host. */
export type TlsByHost = Readonly<Record<string, TlsSettings>>

export interface TlsChoice {
  readonly context: SecureContext
  readonly skipVerify: boolean
}

/** Makes each host's context once. */
export class TlsContexts {
  readonly #tls: TlsByHost
  readonly #made = new Map<string, TlsChoice>()

  constructor(tls: TlsByHost) {
    this.#tls = tls
  }

  /**
   * For `host`. `trust` names a host whose authorities are trusted too: a registry's for its token service, whose name it gives.
   * Throws RegistryError `tls` for certificates and keys that are none.
   */
  of(host: string, trust?: string): TlsChoice {
    const key = `${host} ${trust ?? ''}`
    const known = this.#made.get(key)
    if (known !== undefined) return known
    // URLs leave the usual port out, references keep it.
    const own = this.#tls[host] ?? this.#tls[`${host}:443`] ?? {}
    const trusted = trust === undefined ? undefined : this.#tls[trust]
    const configured = [...(own.authorities ?? []), ...(trusted?.authorities ?? [])]
    for (const text of configured) refuseNoCertificate(host, text)
    const authorities = [...new Set([...(this.#tls['*']?.authorities ?? []), ...configured])]
    const sameName = trust !== undefined && nameOf(trust) === nameOf(host)
    const made = {
      context: contextOf(host, { ...own, authorities }),
      skipVerify: own.skipVerify === true || (sameName && trusted?.skipVerify === true),
    }
    this.#made.set(key, made)
    return made
  }
}

// OpenSSL passes over what it cannot read, and then knows no authority: which one was meant would be told to nobody.
function refuseNoCertificate(host: string, text: string): void {
  if (text.trim() === '') return
  try {
    if (!text.includes('-----BEGIN ')) throw new Error('no PEM')
    new X509Certificate(text)
  } catch (err) {
    const message = `certificates configured for ${host} cannot be used: an authority is no certificate in PEM`
    throw new RegistryError('tls', message, { cause: err })
  }
}

const nameOf = (host: string): string => host.replace(/:\d+$/, '')

function contextOf(host: string, { authorities = [], certificate, key }: TlsSettings): SecureContext {
  try {
    return createSecureContext({
      minVersion: 'TLSv1.2',
      // Without this, NODE_EXTRA_CA_CERTS would count.
      ca: authorities.length === 0 ? getCACertificates('bundled') : [...authorities],
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
    })
  } catch (err) {
    // OpenSSL's own words name no secret.
    throw new RegistryError('tls', `certificates configured for ${host} cannot be used`, { cause: err })
  }
}

let cached: readonly string[] | undefined

/** The machine's certificate authorities. */
export function systemAuthorities(): readonly string[] {
  if (cached === undefined) {
    const system = getCACertificates('system')
    // A machine without any of its own still reaches public registries.
    cached = system.length > 0 ? system : getCACertificates('bundled')
  }
  return cached
}
