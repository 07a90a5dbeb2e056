// Sockets of the host that already listen on a port a pod asks for: /proc/net/{tcp,tcp6,udp,udp6} (proc_pid_net(5)).
import { readFile } from 'node:fs/promises'
import { isErrno } from '@coracle/base/errno'
import { CodedError } from '@coracle/base/errors'
import type { PortMapping } from './cni.ts'
import { describePort, isAnyAddress } from './host-ports.ts'

export interface Listener {
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
}

const tables = [
  { file: 'tcp', protocol: 'tcp' },
  { file: 'tcp6', protocol: 'tcp' },
  { file: 'udp', protocol: 'udp' },
  { file: 'udp6', protocol: 'udp' },
] as const

/** Throws `already_exists` when a process of the host listens where one of `mappings` would take traffic away from it. */
export async function checkListeners(mappings: readonly PortMapping[], procNet = '/proc/net'): Promise<void> {
  if (mappings.length === 0) return
  const ports = new Set(mappings.map((mapping) => mapping.hostPort))
  const protocols = new Set(mappings.map((mapping) => mapping.protocol))
  const wanted = tables.filter(({ protocol }) => protocols.has(protocol))
  const texts = await Promise.all(wanted.map(async (table) => ({ ...table, text: await readTable(`${procNet}/${table.file}`) })))
  const listeners = texts.flatMap(({ text, protocol }) => parseListeners(text, protocol, ports))
  for (const mapping of mappings) {
    const taken = listeners.find((listener) => conflicts(mapping, listener))
    if (taken === undefined) continue
    const where = taken.address.includes(':') ? `[${taken.address}]` : taken.address
    throw new CodedError(
      'already_exists',
      `host port ${describePort(mapping)} is taken by a process of this host that listens on ${where}:${taken.port}`,
    )
  }
}

/**
 * A mapping for all addresses leaves a listener on loopback alone (node-local DNS caches rely on it);
 * a mapping for one address meets a listener on that address or on all.
 */
function conflicts(mapping: PortMapping, listener: Listener): boolean {
  if (listener.protocol !== mapping.protocol || listener.port !== mapping.hostPort) return false
  const six = (address: string) => address.includes(':')
  // A listener on :: usually takes IPv4 too.
  const families = mapping.hostIP === '' || six(mapping.hostIP) === six(listener.address) || listener.address === '::'
  if (!families) return false
  if (isAnyAddress(mapping.hostIP)) return listener.address !== '::1' && !listener.address.startsWith('127.')
  return isAnyAddress(listener.address) || listener.address === mapping.hostIP
}

/** Sockets in the table that accept traffic from anyone: TCP in LISTEN (0A), UDP unconnected (07). Others than `ports` are left out. */
export function parseListeners(text: string, protocol: 'tcp' | 'udp', ports: ReadonlySet<number>): Listener[] {
  const open = protocol === 'tcp' ? '0A' : '07'
  const found: Listener[] = []
  for (const match of text.matchAll(/^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /gm)) {
    const [, address = '', port = '', state] = match
    if (state !== open || !ports.has(Number.parseInt(port, 16))) continue
    found.push({ protocol, address: decodeAddress(address), port: Number.parseInt(port, 16) })
  }
  return found
}

// Each 32-bit word is printed as a number of the host's byte order; all supported machines are little-endian.
function decodeAddress(hex: string): string {
  const bytes = Buffer.from(hex, 'hex')
  bytes.swap32()
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.every((byte) => byte === 0)) return '::'
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff
  if (mapped) return bytes.subarray(12).join('.')
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

async function readTable(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1')
  } catch (err) {
    // No IPv6 on this host.
    if (isErrno(err, 'ENOENT')) return ''
    throw err
  }
}
