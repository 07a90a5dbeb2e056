// From a reference to the endpoints to ask, with everything that each needs, and the reason of each: docs/decisions/0500.
import { explain, invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { digestedName, formatReference, nameOf, type Reference, taggedName, withPlainHost } from '@coracle/oci-spec/reference'
import { type CredentialSources, findCredentials } from './credentials.ts'
import { type Endpoint, endpointsAt, hostOfRegistry, mirrorAt, type Place, type RegistriesConfig } from './endpoints.ts'
import type { HostCertificates } from './files/certs.ts'
import { readPair, required } from './files/certs.ts'
import type { HostSettings, HostsToml } from './files/hosts-toml.ts'
import { readText } from './files/last-good.ts'
import { type ConfMirror, findRegistry, type RegistriesConf, rewritten } from './files/registries-conf.ts'
import type { RegistryFiles } from './files/registry-files.ts'
import { maskedProxy, proxyFor } from './proxy.ts'
import { systemAuthorities, type TlsByHost, type TlsSettings } from './tls.ts'

export interface PlannedEndpoint {
  readonly endpoint: Endpoint
  readonly role: 'mirror' | 'registry'
  /** `FILE:LINE what`, most important first; empty: the reference itself. */
  readonly chosenBy: readonly string[]
  /** File and key, program, or `the request`; undefined: none. */
  readonly credentialsFrom: string | undefined
  /** What besides the machine's own authorities decides about TLS. */
  readonly tlsFrom: readonly string[]
  /** Masked. */
  readonly proxy: string | undefined
}

/** Among `tlsFrom`: the certificate is not looked at. */
export const notVerified = 'not verified'

export interface PullPlan {
  readonly reference: Reference
  readonly endpoints: readonly PlannedEndpoint[]
  readonly tls: TlsByHost | undefined
  /** Hosts that may speak plain HTTP in this pull. */
  readonly insecureHosts: readonly string[]
  /** Broken files whose last good version is in force, keys that are not known, mirrors that are left out. */
  readonly remarks: readonly string[]
}

export interface PlanDeps {
  readonly files: RegistryFiles
  readonly config: RegistriesConfig
  readonly credentials: Pick<CredentialSources, 'programs'>
}

interface Choice {
  readonly place: Place
  readonly role: 'mirror' | 'registry'
  readonly from: readonly string[]
}

/** Throws `invalid_argument` when the registry is blocked, `failed_precondition` naming file, line and key for files that never were right. */
export async function planPull(deps: PlanDeps, reference: Reference, signal: AbortSignal): Promise<PullPlan> {
  const config = ofServingHosts(deps.config)
  const remarks: string[] = []
  const conf = told(deps.files.registriesConf(), remarks)
  const certificates = told(deps.files.certificates(), remarks)
  remarks.push(...conf.warnings)
  refuseBlocked(config, reference.registry)
  const choices = withoutBlocked(config, choose({ ...deps, config }, { reference, conf, certificates, remarks }), remarks)
  refuseBroken(choices, certificates)
  const speaksTls = choices.some(({ place }) => !place.endpoint.insecure)
  const sources: CredentialSources = {
    files: deps.files.authFiles().flatMap((loaded) => told(loaded, remarks) ?? []),
    helpers: conf.helpers,
    programs: deps.credentials.programs,
  }
  const endpoints = await Promise.all(
    choices.map((choice) => planned({ choice, reference, config, certificates, sources }, signal)),
  )
  const insecure = choices.filter(({ place }) => place.endpoint.insecure).map(({ place }) => place.endpoint.host)
  return {
    reference,
    endpoints,
    tls: speaksTls ? tlsFor(choices, { config, certificates }) : undefined,
    insecureHosts: [...new Set([...(config.insecureHosts ?? []), ...insecure])],
    remarks,
  }
}

/** Docker Hub is called otherwise than the host that serves it: certificates said to be the one's are the other's. */
function ofServingHosts(config: RegistriesConfig): RegistriesConfig {
  const { caFiles = {}, clientCertificates = {}, skipVerify = [] } = config
  const renamed = <T>(byHost: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
    Object.fromEntries(Object.entries(byHost).map(([host, value]) => [hostOfRegistry(host), value]))
  return {
    ...config,
    caFiles: renamed(caFiles),
    clientCertificates: renamed(clientCertificates),
    skipVerify: skipVerify.map(hostOfRegistry),
  }
}

function told<T>(loaded: { readonly value: T; readonly problem: string | undefined }, remarks: string[]): T {
  if (loaded.problem !== undefined) remarks.push(`${loaded.problem}: the version before stays in force`)
  return loaded.value
}

function refuseBlocked(config: RegistriesConfig, registry: string): void {
  const entry = config.blocked?.find((host) => withPlainHost(hostOfRegistry(host)) === withPlainHost(hostOfRegistry(registry)))
  if (entry === undefined) return
  const where = config.from?.[`registries.${entry}.blocked`]
  throw invalid(`registry ${quote(registry)} is blocked by the configuration${where === undefined ? '' : ` (${where})`}`)
}

/** A blocked host is not asked as a mirror either. Throws `invalid_argument` where the registry has been moved to one. */
function withoutBlocked(config: RegistriesConfig, choices: readonly Choice[], remarks: string[]): readonly Choice[] {
  return choices.filter(({ place, role, from }) => {
    try {
      refuseBlocked(config, place.endpoint.host)
      return true
    } catch (err) {
      if (role === 'registry') throw err
      remarks.push(`${from.join(', ')}: mirror ${place.endpoint.host} is not asked: ${explain(err)}`)
      return false
    }
  })
}

function refuseBroken(choices: readonly Choice[], certificates: readonly HostCertificates[]): void {
  const hosts = new Set(choices.map(({ place }) => place.endpoint.host))
  const broken = certificates.find(({ host, problem }) => problem !== undefined && hosts.has(host))
  if (broken?.problem !== undefined) throw precondition(broken.problem)
}

interface Known {
  readonly reference: Reference
  readonly conf: RegistriesConf
  readonly certificates: readonly HostCertificates[]
  readonly remarks: string[]
}

/** Mirrors of our own keys, of registries.conf, of hosts.toml, then the registry itself; a place that comes twice is asked once. */
function choose(deps: PlanDeps, known: Known): readonly Choice[] {
  const { config, files } = deps
  const { reference, conf, certificates, remarks } = known
  const { registry } = reference
  const name = nameOf(reference)
  const at = { config, secureHosts: new Set(certificates.map(({ host }) => host)), registry }
  const found = findRegistry(conf, name, ...fullNames(reference))
  if (found?.entry.blocked) throw invalid(`image ${quote(formatReference(reference))} is blocked by ${found.entry.from}`)
  const choices: Choice[] = (config.mirrors?.[registry] ?? []).map((mirror) => ({
    place: { endpoint: mirrorAt(mirror, at) },
    role: 'mirror',
    from: listed(config.from?.[`registries.${registry}.mirrors`]),
  }))
  for (const mirror of found?.entry.mirrors ?? []) {
    const skipped = skippedBecause(mirror, reference)
    if (skipped === undefined)
      for (const endpoint of endpointsAt(rewritten(name, found?.coveredLength ?? 0, mirror.location), {
        ...at,
        insecure: mirror.insecure,
      }))
        choices.push({ place: { endpoint }, role: 'mirror', from: [mirror.from] })
    else remarks.push(`${mirror.from}: mirror ${mirror.location} ${skipped}`)
  }
  const own = { ...at, insecure: found?.entry.insecure ?? false }
  const itself = endpointsAt(name, own)
  const hosts = told(files.hostsToml(registry, itself[0]?.baseUrl.replace(/\/v2$/, '') ?? ''), remarks)
  if (hosts !== undefined) {
    remarks.push(...hosts.warnings)
    choices.push(...hosts.hosts.flatMap((host) => hostChoice(host, { role: 'mirror', ...at })))
  }
  if (found?.entry.location !== undefined) {
    const moved = endpointsAt(rewritten(name, found.coveredLength, found.entry.location), own)
    choices.push(...moved.map((endpoint) => ({ place: { endpoint }, role: 'registry' as const, from: [found.entry.from] })))
  } else if (hosts !== undefined && (hosts.server.isNamed || isSpecial(hosts))) {
    choices.push(...hostChoice(hosts.server, { role: 'registry', ...at }))
  } else {
    const from = found?.entry.insecure ? found.entry.from : config.from?.[`registries.${registry}.insecure`]
    choices.push(...itself.map((endpoint) => ({ place: { endpoint }, role: 'registry' as const, from: listed(from) })))
  }
  return withoutRepeats(choices, reference)
}

const fullNames = (reference: Reference): readonly string[] => [
  ...listed(taggedName(reference)),
  ...(reference.digest === undefined ? [] : [digestedName(reference, reference.digest)]),
]

const listed = (from: string | undefined): readonly string[] => (from === undefined ? [] : [from])

/** Settings at the top of hosts.toml hold for the registry itself also where the file does not say where that is. */
const isSpecial = ({ server }: HostsToml): boolean =>
  server.serves !== 'both' ||
  server.authorities.length > 0 ||
  server.certificate !== undefined ||
  server.skipVerify ||
  Object.keys(server.headers).length > 0 ||
  server.connectTimeoutMs !== undefined

function skippedBecause({ use }: ConfMirror, { digest }: Reference): string | undefined {
  if (use === 'digest-only' && digest === undefined) return 'is for references with a digest only: not asked'
  if (use === 'tag-only' && digest !== undefined) return 'is for references with a tag only: not asked'
  return undefined
}

function hostChoice(host: HostSettings, { role, registry }: { role: Choice['role']; registry: string }): Choice[] {
  if (host.serves === 'nothing') return []
  const named = hostOfRegistry(registry)
  // URLs leave out the port of their scheme; what a reference names keeps it, and so do credentials and certificates of that name.
  const isOrigin = host.host === URL.parse(`${host.baseUrl.split('://', 1)[0]}://${named}`)?.host
  const endpoint: Endpoint = {
    baseUrl: host.baseUrl,
    host: isOrigin ? named : host.host,
    insecure: host.baseUrl.startsWith('http:'),
    isOrigin,
    serves: host.serves,
    ...(Object.keys(host.headers).length === 0 ? {} : { headers: host.headers }),
    ...(host.connectTimeoutMs === undefined ? {} : { connectTimeoutMs: host.connectTimeoutMs }),
    // Tells a proxy of many registries which one is meant.
    ...(isOrigin ? {} : { query: `ns=${encodeURIComponent(registry)}` }),
  }
  return [{ place: { endpoint, settings: host }, role, from: [host.from] }]
}

/** A place that comes twice is asked once, where it came first, with what both say of it. */
function withoutRepeats(choices: readonly Choice[], { repository }: Reference): readonly Choice[] {
  const kept = new Map<string, Choice>()
  for (const choice of choices) {
    const { endpoint, settings } = choice.place
    const key = `${endpoint.baseUrl} ${endpoint.repository ?? repository} ${endpoint.serves ?? 'both'}`
    const first = kept.get(key)
    if (first === undefined) kept.set(key, choice)
    else {
      const both = { ...endpoint, ...first.place.endpoint, isOrigin: endpoint.isOrigin || first.place.endpoint.isOrigin }
      const merged = first.place.settings ?? settings
      const place = { endpoint: both, ...(merged === undefined ? {} : { settings: merged }) }
      kept.set(key, { ...first, place, from: [...first.from, ...choice.from] })
    }
  }
  return [...kept.values()]
}

interface Trust {
  readonly config: RegistriesConfig
  readonly certificates: readonly HostCertificates[]
}

/** All that is configured for any host, as a redirect may lead to it; hosts.toml counts for the hosts of this pull. */
function tlsFor(choices: readonly Choice[], { config, certificates }: Trust): TlsByHost {
  const byHost = new Map<string, TlsSettings>([['*', { authorities: systemAuthorities() }]])
  const add = (host: string, more: TlsSettings) => {
    const known = byHost.get(host) ?? {}
    // The first certificate stays: own keys, then hosts.toml, then directories.
    byHost.set(host, { ...more, ...known, authorities: [...(known.authorities ?? []), ...(more.authorities ?? [])] })
  }
  const hosts = new Set(choices.map(({ place }) => place.endpoint.host))
  for (const [host, file] of Object.entries(config.caFiles ?? {})) {
    // Of the other hosts only what can be read: their missing file is no fault of this image.
    const authority = hosts.has(host) ? required(file) : readText(file)
    if (authority !== undefined) add(host, { authorities: [authority] })
  }
  for (const [host, { certificateFile, keyFile }] of Object.entries(config.clientCertificates ?? {}))
    if (hosts.has(host)) add(host, readPair(certificateFile, keyFile))
  for (const host of config.skipVerify ?? []) add(host, { skipVerify: true })
  for (const { place } of choices) {
    const { endpoint, settings } = place
    if (endpoint.skipsVerify) add(endpoint.host, { skipVerify: true })
    if (settings === undefined) continue
    add(endpoint.host, {
      authorities: settings.authorities.map(required),
      ...readPair(settings.certificate?.certificateFile, settings.certificate?.keyFile),
      ...(settings.skipVerify ? { skipVerify: true } : {}),
    })
  }
  for (const { host, tls } of certificates) add(host, tls)
  return Object.fromEntries(byHost)
}

interface Planning extends Trust {
  readonly choice: Choice
  readonly reference: Reference
  readonly sources: CredentialSources
}

async function planned(
  { choice, reference, config, certificates, sources }: Planning,
  signal: AbortSignal,
): Promise<PlannedEndpoint> {
  const { endpoint, settings } = choice.place
  const repository = endpoint.repository ?? reference.repository
  const found = await findCredentials(sources, { host: endpoint.host, repository }, signal)
  const proxy = proxyFor(new URL(endpoint.baseUrl), config.proxies ?? {})
  return {
    endpoint: {
      ...endpoint,
      ...(found.credentials === undefined ? {} : { credentials: found.credentials }),
      ...(found.problem === undefined ? {} : { credentialsProblem: found.problem }),
    },
    role: choice.role,
    chosenBy: choice.from,
    credentialsFrom: found.from ?? found.problem,
    tlsFrom: endpoint.insecure ? [] : tlsReasons(endpoint, { config, certificates, settings }),
    proxy: proxy === undefined ? undefined : maskedProxy(proxy.href),
  }
}

function tlsReasons(
  { host, skipsVerify }: Endpoint,
  { config, certificates, settings }: Trust & { readonly settings: HostSettings | undefined },
): readonly string[] {
  const client = config.clientCertificates?.[host]
  const unverified = skipsVerify === true || settings?.skipVerify === true || config.skipVerify?.includes(host) === true
  return [
    ...(unverified ? [notVerified] : []),
    ...[config.caFiles?.[host] ?? []].flat(),
    ...(client === undefined ? [] : [client.certificateFile]),
    ...(settings?.authorities ?? []),
    ...(settings?.certificate === undefined ? [] : [settings.certificate.certificateFile]),
    ...certificates.filter((one) => one.host === host).flatMap(({ files }) => files),
  ]
}
