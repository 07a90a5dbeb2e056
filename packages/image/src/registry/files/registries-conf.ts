// registries.conf of the containers tools, version 2, and its drop-ins (containers-registries.conf(5), containers-registries.conf.d(5)).
import { parseReference } from '@coracle/oci-spec/reference'
import { parseToml, type TomlTable } from './toml.ts'

/** A value and the `FILE:LINE` that gave it. */
export interface Sourced<T> {
  readonly value: T
  readonly from: string
}

export interface ConfMirror {
  readonly location: string
  readonly insecure: boolean
  readonly use: 'all' | 'digest-only' | 'tag-only'
  readonly from: string
}

export interface ConfRegistry {
  /** `host[:port][/path]` or `*.domain[/path]`. */
  readonly prefix: string
  /** What stands in the prefix's place; undefined: the same. */
  readonly location: string | undefined
  readonly insecure: boolean
  readonly blocked: boolean
  readonly mirrors: readonly ConfMirror[]
  readonly from: string
}

export interface RegistriesConf {
  readonly registries: readonly ConfRegistry[]
  /** unqualified-search-registries. */
  readonly search: Sourced<readonly string[]> | undefined
  readonly shortNameMode: Sourced<'enforcing' | 'permissive' | 'disabled'> | undefined
  readonly aliases: ReadonlyMap<string, Sourced<string>>
  /** credential-helpers: programs, and `containers-auth.json` for the files. */
  readonly helpers: Sourced<readonly string[]> | undefined
  readonly warnings: readonly string[]
}

export const emptyRegistriesConf: RegistriesConf = {
  registries: [],
  search: undefined,
  shortNameMode: undefined,
  aliases: new Map(),
  helpers: undefined,
  warnings: [],
}

export interface ConfText {
  readonly file: string
  readonly text: string
}

const modes = ['enforcing', 'permissive', 'disabled'] as const
const uses = ['all', 'digest-only', 'tag-only'] as const
const topKeys = ['unqualified-search-registries', 'short-name-mode', 'credential-helpers', 'registry', 'aliases']
const registryKeys = ['prefix', 'location', 'insecure', 'blocked', 'mirror-by-digest-only', 'mirror']
const mirrorKeys = ['location', 'insecure', 'pull-from-mirror']

/** The files in their order; what a later one sets replaces the earlier, a [[registry]] that of the same prefix. Throws `invalid_argument`. */
export function parseRegistriesConf(texts: readonly ConfText[]): RegistriesConf {
  return texts.reduce((conf, { file, text }) => overlaid(conf, parseToml(file, text)), emptyRegistriesConf)
}

function overlaid(conf: RegistriesConf, top: TomlTable): RegistriesConf {
  const registriesValue = top.any('registries')
  if (registriesValue !== undefined)
    throw top.wrong('registries', 'is version 1 of the format, which is not read: write [[registry]] tables')
  const warnings = [...conf.warnings, ...top.unknown(topKeys)]
  const own = top.tables('registry').map((table) => parseRegistry(table, warnings))
  const prefixes = new Set(own.map(({ prefix }) => prefix))
  const search = parseSearch(top)
  const mode = parseMode(top)
  const helpers = top.strings('credential-helpers')
  return {
    registries: [...conf.registries.filter(({ prefix }) => !prefixes.has(prefix)), ...own],
    search: search === undefined ? conf.search : { value: search, from: top.where('unqualified-search-registries') },
    shortNameMode: mode === undefined ? conf.shortNameMode : { value: mode, from: top.where('short-name-mode') },
    aliases: parseAliases(conf.aliases, top.table('aliases')),
    helpers: helpers === undefined ? conf.helpers : { value: helpers, from: top.where('credential-helpers') },
    warnings,
  }
}

function parseSearch(top: TomlTable): readonly string[] | undefined {
  const key = 'unqualified-search-registries'
  const search = top.strings(key)?.map((host) => host.replace(/\/+$/, ''))
  const bad = search?.find((host) => !isRegistry(host))
  if (bad !== undefined) throw top.wrong(key, `has ${JSON.stringify(bad)}: expected hosts with a dot or a port, without a path`)
  return search
}

// In a name, `team/app` is a repository of docker.io: what has neither a dot nor a port would be looked for there.
function isRegistry(text: string): boolean {
  try {
    return (
      !text.includes('/') && [text, 'docker.io'].includes(parseReference(`${text}/x`).registry) && /[.:]|^localhost$/.test(text)
    )
  } catch {
    return false
  }
}

function parseMode(top: TomlTable): (typeof modes)[number] | undefined {
  const text = top.string('short-name-mode')
  const mode = modes.find((known) => known === text)
  if (text !== undefined && text !== '' && mode === undefined)
    throw top.wrong('short-name-mode', `is ${JSON.stringify(text)}: expected one of ${modes.join(', ')}`)
  return mode
}

function parseAliases(known: RegistriesConf['aliases'], table: TomlTable | undefined): RegistriesConf['aliases'] {
  if (table === undefined) return known
  const aliases = new Map(known)
  for (const name of table.keys()) {
    const value = table.string(name) ?? ''
    // An empty one takes away that of an earlier file.
    if (value === '') aliases.delete(name)
    else if (/[@:][^/]*$/.test(value) || !value.includes('/') || !isRegistry(value.split('/', 1)[0] ?? ''))
      throw table.wrong(name, `is ${JSON.stringify(value)}: expected registry/repository without tag or digest`)
    else aliases.set(name, { value, from: table.where(name) })
  }
  return aliases
}

function parseRegistry(table: TomlTable, warnings: string[]): ConfRegistry {
  warnings.push(...table.unknown(registryKeys))
  const location = cleanLocation(table, 'location')
  const prefix = cleanLocation(table, 'prefix') ?? location
  if (prefix === undefined) throw table.wrong('location', 'is missing: expected prefix or location')
  if (prefix.includes('*') && !/^\*\.[^*]+$/.test(prefix))
    throw table.wrong(
      'prefix',
      `is ${JSON.stringify(prefix)}: a * may stand for a subdomain at the start only, as in *.example.com`,
    )
  if (location?.includes('*')) throw table.wrong('location', 'has a *: expected host[:port][/path]')
  const digestsOnly = table.boolean('mirror-by-digest-only') ?? false
  const mirrors = table.tables('mirror').map((mirror) => parseMirror(mirror, digestsOnly, warnings))
  return {
    prefix,
    location: location === prefix ? undefined : location,
    insecure: table.boolean('insecure') ?? false,
    blocked: table.boolean('blocked') ?? false,
    mirrors,
    from: table.where(),
  }
}

function parseMirror(table: TomlTable, digestsOnly: boolean, warnings: string[]): ConfMirror {
  warnings.push(...table.unknown(mirrorKeys))
  const location = cleanLocation(table, 'location')
  if (location === undefined) throw table.wrong('location', 'is missing: expected host[:port][/path]')
  const text = table.string('pull-from-mirror')
  const use = uses.find((known) => known === text)
  if (text !== undefined && use === undefined)
    throw table.wrong('pull-from-mirror', `is ${JSON.stringify(text)}: expected one of ${uses.join(', ')}`)
  if (digestsOnly && use !== undefined)
    throw table.wrong('pull-from-mirror', 'does not go together with mirror-by-digest-only of the registry')
  return {
    location,
    insecure: table.boolean('insecure') ?? false,
    use: digestsOnly ? 'digest-only' : (use ?? 'all'),
    from: table.where(),
  }
}

function cleanLocation(table: TomlTable, key: string): string | undefined {
  const text = table.string(key)?.replace(/\/+$/, '')
  if (text === undefined || text === '') return undefined
  if (text.includes('://')) throw table.wrong(key, `is ${JSON.stringify(text)}: expected host[:port][/path] without a scheme`)
  if (/\s|@(?!sha(?:256|512):[0-9a-f]+$)/.test(text) || !/^[^/]+/.test(text))
    throw table.wrong(key, `is ${JSON.stringify(text)}: expected host[:port][/path]`)
  return text
}

/**
 * The entry with the longest prefix of an image, and how many characters of `host/repository` it covers. `names` are all that the image
 * is called: `host/repository`, and that with `:tag` and with `@digest`.
 */
export function findRegistry(
  conf: RegistriesConf,
  ...names: readonly [string, ...string[]]
): { readonly entry: ConfRegistry; readonly coveredLength: number } | undefined {
  let found: { entry: ConfRegistry; coveredLength: number } | undefined
  for (const entry of conf.registries) {
    const [coveredLength] = names.flatMap((name) => covered(entry.prefix, name) ?? [])
    if (coveredLength !== undefined && (found === undefined || entry.prefix.length > found.entry.prefix.length))
      found = { entry, coveredLength: Math.min(coveredLength, names[0].length) }
  }
  return found
}

function covered(writtenPrefix: string, writtenName: string): number | undefined {
  const [prefix, name] = [withLowerHost(writtenPrefix), withLowerHost(writtenName)]
  const wildcard = prefix.startsWith('*.')
  const rest = wildcard ? prefix.slice(1) : prefix
  const at = wildcard ? name.indexOf(rest) : name.startsWith(rest) ? 0 : -1
  // The * stands for a part of the host, and for at least one character of it.
  if (at < 0 || (wildcard && (at === 0 || name.slice(0, at).includes('/')))) return undefined
  const end = at + rest.length
  return end === name.length || ['/', ':', '@'].includes(name.charAt(end)) ? end : undefined
}

// No way around `blocked` by capital letters.
const withLowerHost = (name: string): string => name.replace(/^[^/]+/, (host) => host.toLowerCase())

/** `name` with `location` in the place of what the prefix covers. */
export const rewritten = (name: string, coveredLength: number, location: string | undefined): string =>
  location === undefined ? name : location + name.slice(coveredLength)
