// Network configuration lists and single plugin configurations (CNI spec 1.1, section 1).
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import { atLeast, type CniVersion, highestKnown, impliedVersion } from './version.ts'

export interface PluginConfig {
  readonly type: string
  /** Names of the capabilities that the plugin takes arguments for. */
  readonly capabilities: ReadonlySet<string>
  /** As written in the file. */
  readonly json: JsonObject
}

export interface NetworkConfigList {
  readonly name: string
  /** The highest version that both the file and we know. */
  readonly cniVersion: CniVersion
  readonly disableCheck: boolean
  readonly disableGc: boolean
  readonly plugins: readonly PluginConfig[]
}

const maxConfigBytes = 1024 * 1024
const maxPlugins = 64

/**
 * A plugin's `type` is the name of its program and nothing else (CVE-2021-20206).
 * Throws `invalid_argument`.
 */
export function parsePluginType(field: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9._-]{1,255}$/.test(value) || value === '.' || value === '..') {
    throw invalid(`${field} ${show(value)} must be the name of a program: letters, digits, ".", "_", "-"`)
  }
  return value
}

/**
 * Reads a `.conflist`, or a `.conf`/`.json` that holds a list or a single plugin.
 * `inlined` are further plugin configurations found beside the file. Throws `invalid_argument` naming the field.
 */
export function parseNetworkConfig(text: Uint8Array | string, split: readonly JsonObject[] = []): NetworkConfigList {
  const json = parseJson('network configuration', text, { maxBytes: maxConfigBytes })
  if (!isObject(json)) throw invalid('network configuration must be a JSON object')
  return networkFromJson(json, split)
}

export function networkFromJson(json: JsonObject, split: readonly JsonObject[] = []): NetworkConfigList {
  const name = json['name']
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(name)) {
    throw invalid(`name ${show(name)} must start with a letter or digit and go on with letters, digits, ".", "_", "-"`)
  }
  const plugins = parsePlugins(json, split)
  const cniVersion = parseVersion(json)
  if (plugins.length > 1 && !atLeast(cniVersion, '0.3.0')) {
    throw invalid(`cniVersion ${quote(cniVersion)} cannot chain plugins: 0.3.0 or higher is needed for ${plugins.length} plugins`)
  }
  return {
    name,
    cniVersion,
    disableCheck: parseFlag(json, 'disableCheck'),
    disableGc: parseFlag(json, 'disableGC'),
    plugins,
  }
}

/** The list in the form that `networkFromJson` reads: for the cache. */
export function networkToJson(network: NetworkConfigList): JsonObject {
  return {
    name: network.name,
    cniVersion: network.cniVersion,
    disableCheck: network.disableCheck,
    disableGC: network.disableGc,
    loadOnlyInlinedPlugins: true,
    plugins: network.plugins.map((plugin) => plugin.json),
  }
}

/** Whether plugin files beside the list are to be added: they are, unless the list says otherwise. */
export const wantsSplitPlugins = (json: JsonObject): boolean =>
  json['type'] === undefined && !parseFlag(json, 'loadOnlyInlinedPlugins')

function parsePlugins(json: JsonObject, split: readonly JsonObject[]): PluginConfig[] {
  if (json['plugins'] === undefined && json['type'] !== undefined) return [parsePlugin('configuration', json)]
  const inlined = json['plugins'] ?? []
  if (!Array.isArray(inlined)) throw invalid(`plugins ${show(inlined)} must be a list`)
  const all: unknown[] = wantsSplitPlugins(json) ? [...inlined, ...split] : inlined
  if (all.length === 0) throw invalid('plugins is empty: expected at least one plugin configuration with a "type"')
  if (all.length > maxPlugins) throw invalid(`plugins has ${all.length} entries, more than the limit of ${maxPlugins}`)
  return all.map((plugin, index) => parsePlugin(`plugins[${index}]`, plugin))
}

function parsePlugin(field: string, json: unknown): PluginConfig {
  if (!isObject(json)) throw invalid(`${field} must be a JSON object`)
  const type = parsePluginType(`${field}.type`, json['type'])
  const ipam = json['ipam']
  // The plugin runs this program in its turn.
  if (isObject(ipam) && ipam['type'] !== undefined && ipam['type'] !== '') parsePluginType(`${field}.ipam.type`, ipam['type'])
  const declared = json['capabilities'] ?? {}
  if (!isObject(declared)) throw invalid(`${field}.capabilities ${show(declared)} must be an object of booleans`)
  const capabilities = new Set(Object.keys(declared).filter((key) => declared[key] === true))
  return { type, capabilities, json }
}

function parseVersion(json: JsonObject): CniVersion {
  const single = json['cniVersion']
  const list = json['cniVersions'] ?? []
  if (single !== undefined && typeof single !== 'string')
    throw invalid(`cniVersion ${show(single)} must be a string such as "1.0.0"`)
  if (!Array.isArray(list)) throw invalid(`cniVersions ${show(list)} must be a list of strings`)
  const named: unknown[] = single === undefined || single === '' ? list : [...list, single]
  const version = named.length === 0 ? impliedVersion : highestKnown(named)
  if (version === undefined) throw invalid(`cniVersion ${named.map(show).join(', ')} is not supported: expected 0.1.0 to 1.1.0`)
  return version
}

// "true" as a string is what early drafts allowed and still occurs.
function parseFlag(json: JsonObject, field: string): boolean {
  const value = json[field] ?? false
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  throw invalid(`${field} ${show(value)} must be true or false`)
}

const show = (value: unknown): string => quote(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined'))
