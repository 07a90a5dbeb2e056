// hosts.toml of containerd's registry configuration: which hosts serve a registry, what each may be asked for, and how.
import { dirname, join, resolve } from 'node:path'
import { readText } from './last-good.ts'
import { parseToml, type TomlTable } from './toml.ts'

export interface HostSettings {
  /** Scheme, host and path, with the API's version unless the operator overrides the path. */
  readonly baseUrl: string
  readonly host: string
  readonly serves: 'both' | 'tags' | 'digests' | 'nothing'
  /** Files. */
  readonly authorities: readonly string[]
  readonly certificate: { readonly certificateFile: string; readonly keyFile: string } | undefined
  readonly skipVerify: boolean
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly connectTimeoutMs: number | undefined
  readonly from: string
}

export interface HostsToml {
  readonly file: string
  /** In the order of the file. */
  readonly hosts: readonly HostSettings[]
  /** The registry itself. `isNamed`: the file says where it is. */
  readonly server: HostSettings & { readonly isNamed: boolean }
  readonly warnings: readonly string[]
}

const hostKeys = ['capabilities', 'ca', 'client', 'skip_verify', 'header', 'override_path', 'dial_timeout']

/** `upstream`: the registry's own URL, for a file that names no server. Throws `invalid_argument` with file, line and key. */
export function parseHostsToml(file: string, text: string, upstream: string): HostsToml {
  const top = parseToml(file, text)
  const warnings = [...top.unknown([...hostKeys, 'server', 'host'])]
  const named = top.string('server') || undefined
  const hosts = top.table('host')
  return {
    file,
    hosts: (hosts?.keys() ?? []).map((name) => {
      const table = hosts?.table(name)
      if (hosts === undefined || table === undefined) throw top.wrong('host', 'has no tables')
      warnings.push(...table.unknown(hostKeys))
      return settingsOf(table, urlOf(hosts, name, name), hosts.where(name))
    }),
    server: {
      ...settingsOf(top, urlOf(top, 'server', named ?? upstream), named === undefined ? file : top.where('server')),
      isNamed: named !== undefined,
    },
    warnings,
  }
}

function urlOf(table: TomlTable, key: string, text: string): URL {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.search !== '' || url.hash !== '')
    throw table.wrong(key, `is ${JSON.stringify(text)}: expected an http or https URL`)
  if (url.username !== '' || url.password !== '') throw table.wrong(key, 'has credentials in its URL: put them into an auth file')
  // Many files say so, as examples did; nothing serves images there.
  if (/^(index\.)?docker\.io$/.test(url.host)) url.host = 'registry-1.docker.io'
  return url
}

function settingsOf(table: TomlTable, url: URL, from: string): HostSettings {
  const path = url.pathname.replace(/\/+$/, '')
  const isWhole = table.boolean('override_path') ?? false
  const withVersion = isWhole || /(^|\/)v2(\/|$)/.test(path) ? path : `${path}/v2`
  return {
    baseUrl: `${url.origin}${withVersion}`,
    host: url.host,
    serves: servesOf(table),
    authorities: (table.strings('ca') ?? []).map((name) => resolve(dirname(table.file), name)),
    certificate: clientOf(table),
    skipVerify: table.boolean('skip_verify') ?? false,
    headers: headersOf(table),
    connectTimeoutMs: durationOf(table, 'dial_timeout'),
    from,
  }
}

function servesOf(table: TomlTable): HostSettings['serves'] {
  const capabilities = table.strings('capabilities')?.map((name) => name.toLowerCase())
  if (capabilities === undefined || capabilities.length === 0) return 'both'
  const unknown = capabilities.find((name) => !['pull', 'resolve', 'push'].includes(name))
  if (unknown !== undefined)
    throw table.wrong('capabilities', `has ${JSON.stringify(unknown)}: expected pull, resolve and push only`)
  const [pull, resolves] = [capabilities.includes('pull'), capabilities.includes('resolve')]
  if (pull && resolves) return 'both'
  return pull ? 'digests' : resolves ? 'tags' : 'nothing'
}

/** `client = "both.pem"`, `["cert", "key"]`, or `[["cert", "key"], …]`: of several pairs the first is used. */
function clientOf(table: TomlTable): HostSettings['certificate'] {
  const value = table.any('client')
  if (value === undefined) return undefined
  const first: unknown = Array.isArray(value) && Array.isArray(value[0]) ? value[0] : value
  const files: readonly unknown[] = Array.isArray(first) ? first : [first]
  const [certificateFile, keyFile = certificateFile] = files
  if (typeof certificateFile !== 'string' || typeof keyFile !== 'string' || files.length > 2)
    throw table.wrong('client', 'has the wrong form: expected a file, or a list of certificate and key file')
  const at = (name: string) => resolve(dirname(table.file), name)
  return { certificateFile: at(certificateFile), keyFile: at(keyFile || certificateFile) }
}

function headersOf(table: TomlTable): Readonly<Record<string, string>> {
  const header = table.table('header')
  if (header === undefined) return {}
  return Object.fromEntries(
    header.keys().map((name) => {
      const value = (header.strings(name) ?? []).join(', ')
      if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(value))
        throw header.wrong(name, 'is no valid header (value not shown)')
      return [name.toLowerCase(), value]
    }),
  )
}

const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, µs: 0.001, ns: 0.000_001 }

/** A duration as Go writes it: `3s`, `1m30s`, `500ms`. */
function durationOf(table: TomlTable, key: string): number | undefined {
  const text = table.string(key)
  if (text === undefined) return undefined
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)/g)]
  const ms = parts.reduce((sum, [, number, unit]) => sum + Number(number) * (unitMs[unit ?? ''] ?? 0), 0)
  if (parts.map(([whole]) => whole).join('') !== text || ms < 1)
    throw table.wrong(key, `is ${JSON.stringify(text)}: expected a duration such as 3s or 500ms`)
  return Math.min(ms, 600_000)
}

export const hostsFile = (directory: string): string => join(directory, 'hosts.toml')

/** Undefined when there is none; an empty one is none either. */
export const readHostsFile = (directory: string): string | undefined => readText(hostsFile(directory)) || undefined

/** Directories in which the configuration of a registry may be, by containerd's rules. */
export function hostDirectories(registry: string): readonly string[] {
  const [, host, port] = /^(.*):(\d+)$/.exec(registry) ?? []
  const escaped = host === undefined ? [] : [`${host}_${port}_`]
  return [...escaped, registry, '_default']
}
