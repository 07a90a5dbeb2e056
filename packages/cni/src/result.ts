// Results of ADD in every version of the specification, and the conversion between them (CNI spec 1.1, section 5).
import { isIP } from 'node:net'
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject } from '@coracle/base/parse-json'
import type { NetworkResult } from './cni.ts'
import { asCniVersion, atLeast, type CniVersion, cniVersions } from './version.ts'

const maxAddresses = 256

/**
 * The result as the configuration's version writes it, so that the next plugin can read it as `prevResult`.
 * A plugin may answer in an older or newer version. Throws `invalid_argument` saying what is wrong.
 */
export function resultInVersion(json: JsonObject, version: CniVersion): JsonObject {
  const stated = json['cniVersion']
  const own = stated === undefined || stated === '' ? version : asCniVersion(stated)
  if (own === undefined)
    throw invalid(`result has cniVersion ${quote(String(stated))}: expected one of ${cniVersions.join(', ')}`)
  checkAddresses(json, own)
  if (own === version) return json
  return shape(own) === shape(version) ? { ...json, cniVersion: version } : fromCurrent(toCurrent(json, own), version)
}

type Shape = 'oldest' | 'versioned' | 'plain' | 'current'

function shape(version: CniVersion): Shape {
  if (!atLeast(version, '0.3.0')) return 'oldest'
  if (!atLeast(version, '1.0.0')) return 'versioned'
  return atLeast(version, '1.1.0') ? 'current' : 'plain'
}

/** To the shape of 1.1. */
function toCurrent(json: JsonObject, version: CniVersion): JsonObject {
  if (shape(version) === 'oldest') {
    const blocks = [json['ip4'], json['ip6']].filter(isObject)
    return {
      interfaces: [],
      ips: blocks.map((block) => defined({ address: block['ip'], gateway: block['gateway'] })),
      routes: blocks.flatMap((block) => (Array.isArray(block['routes']) ? block['routes'] : [])),
      dns: json['dns'] ?? {},
    }
  }
  return { ...json, ips: objects(json['ips']).map(({ version: _family, ...ip }) => ip) }
}

function fromCurrent(json: JsonObject, version: CniVersion): JsonObject {
  const ips = objects(json['ips'])
  const dns = json['dns'] ?? {}
  const routes = objects(json['routes'])
  switch (shape(version)) {
    case 'oldest':
      return defined({
        cniVersion: version,
        ip4: oldestBlock(ips, routes, 4),
        ip6: oldestBlock(ips, routes, 6),
        dns,
      })
    case 'versioned':
    case 'plain': {
      const interfaces = objects(json['interfaces']).map(({ name, mac, sandbox }) => defined({ name, mac, sandbox }))
      const plainRoutes = routes.map(({ dst, gw }) => defined({ dst, gw }))
      const family = (ip: JsonObject) => ({ version: String(familyOf(ip['address'])), ...ip })
      return {
        cniVersion: version,
        interfaces,
        ips: shape(version) === 'versioned' ? ips.map(family) : ips,
        routes: plainRoutes,
        dns,
      }
    }
    case 'current':
      return { ...json, cniVersion: version }
  }
}

function oldestBlock(ips: readonly JsonObject[], routes: readonly JsonObject[], family: 4 | 6): JsonObject | undefined {
  const ip = ips.find((candidate) => familyOf(candidate['address']) === family)
  if (ip === undefined) return undefined
  const own = routes.filter((route) => familyOf(route['dst']) === family).map(({ dst, gw }) => defined({ dst, gw }))
  return defined({ ip: ip['address'], gateway: ip['gateway'], routes: own })
}

/** Pod addresses of a result in the shape of `version`: those of the pod's interface, first one of each family, loopback never. */
export function networkResult(json: JsonObject, version: CniVersion, interfaceName: string): NetworkResult {
  const current = toCurrent(json, version)
  const interfaces = objects(current['interfaces'])
  const ours = objects(current['ips'])
    .filter((ip) => belongs(interfaces, ip, interfaceName))
    .map((ip) => hostPart(ip['address']))
    .filter((address) => address !== '::1' && !address.startsWith('127.'))
  if (ours.length === 0) throw invalid('result has no address for the pod')
  const firsts = ours.filter((address, index) => ours.findIndex((other) => isIP(other) === isIP(address)) === index)
  return {
    ips: [...firsts, ...ours.filter((address) => !firsts.includes(address))],
    interfaceName,
    raw: JSON.stringify(json),
  }
}

// An address without an interface, or of one that is not listed, is taken for the pod's: old and third party plugins omit it.
function belongs(interfaces: readonly JsonObject[], ip: JsonObject, interfaceName: string): boolean {
  const index = ip['interface']
  const owner = typeof index === 'number' ? interfaces[index] : undefined
  if (owner === undefined) return true
  const named = interfaces.some((candidate) => candidate['name'] === interfaceName && isInPod(candidate))
  return named ? owner['name'] === interfaceName && isInPod(owner) : isInPod(owner)
}

const isInPod = (candidate: JsonObject): boolean => typeof candidate['sandbox'] === 'string' && candidate['sandbox'] !== ''

function checkAddresses(json: JsonObject, version: CniVersion): void {
  const ips = objects(toCurrent(json, version)['ips'])
  if (ips.length > maxAddresses) throw invalid(`result has ${ips.length} addresses, more than the limit of ${maxAddresses}`)
  for (const ip of ips) {
    if (familyOf(ip['address']) === 0) {
      throw invalid(`result has address ${quote(JSON.stringify(ip['address']) ?? '')}: expected an IP address with prefix length`)
    }
  }
}

const hostPart = (address: unknown): string => String(address).split('/')[0] ?? ''
const familyOf = (address: unknown): number => (typeof address === 'string' ? isIP(hostPart(address)) : 0)
const objects = (value: unknown): readonly JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : [])
const defined = (json: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined))
