// Sysctls of a pod: namespaced ones only, and only in namespaces that the pod owns (CVE-2022-0811).
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'

/** Which namespaces are the pod's own; the others are the host's. */
export interface OwnNamespaces {
  readonly network: boolean
  readonly ipc: boolean
  readonly uts: boolean
}

const field = 'config.linux.sysctls'
// Words joined by dots. A slash stands for a dot within a word, as kubelet passes on the name of an interface such as eth0.100.
const namePattern = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*)+$/
const interfacePattern = /^net\.[a-z0-9]+\.(?:conf|neigh)\.(?!(?:all|default|lo)\.)[^.]+\./
// Printable ASCII and tab. "+" joined several settings into one argument of a peer's helper.
const valuePattern = /^[\t\x20-\x2a\x2c-\x7e]{0,4096}$/
const ipcPattern = /^(kernel\.(sem|shm(all|max|mni|_rmid_forced|_next_id)|msg(max|mnb|mni|_next_id)|sem_next_id)|fs\.mqueue\..+)$/

/** The checked settings, keys with dots. Throws `invalid_argument` naming the one that is not allowed and why. */
export function checkSysctls(sysctls: { readonly [name: string]: string }, own: OwnNamespaces): Readonly<Record<string, string>> {
  const checked: [string, string][] = []
  for (const [name, value] of Object.entries(sysctls)) {
    if (!namePattern.test(name)) throw invalid(`${field} ${quote(name)} must be words joined by dots`)
    const [kind, owned] = namespaceOf(name, own)
    if (kind === undefined) throw invalid(`${field} ${quote(name)} is not namespaced: it would change the whole node`)
    if (!owned) throw invalid(`${field} ${quote(name)} needs a ${kind} namespace of the pod's own, but this pod uses the node's`)
    if (!valuePattern.test(value)) throw invalid(`${field}[${quote(name)}] ${quote(value)} must be printable ASCII without "+"`)
    checked.push([name, value])
  }
  return Object.fromEntries(checked)
}

/** Those about an interface can be set only when the network plugins have made it; all others are set before they run. */
export function splitSysctls(checked: Readonly<Record<string, string>>): {
  readonly atOnce: Readonly<Record<string, string>>
  readonly ofInterfaces: Readonly<Record<string, string>>
} {
  const { true: later = [], false: atOnce = [] } = Object.groupBy(Object.entries(checked), ([name]) =>
    interfacePattern.test(name) ? 'true' : 'false',
  )
  return { atOnce: Object.fromEntries(atOnce), ofInterfaces: Object.fromEntries(later) }
}

function namespaceOf(name: string, own: OwnNamespaces): readonly ['network' | 'IPC' | 'UTS' | undefined, boolean] {
  if (name.startsWith('net.')) return ['network', own.network]
  if (ipcPattern.test(name)) return ['IPC', own.ipc]
  if (name === 'kernel.domainname') return ['UTS', own.uts]
  return [undefined, false]
}

/**
 * What a pod's own network namespace begins with: anyone in it may send echo requests and listen on low ports, since both are the pod's alone.
 * This makes up for NET_RAW not being among the default capabilities. CRI's sysctls win over these.
 */
export const defaultSysctls = (own: Pick<OwnNamespaces, 'network'>): Readonly<Record<string, string>> =>
  own.network ? { 'net.ipv4.ping_group_range': '0 2147483647', 'net.ipv4.ip_unprivileged_port_start': '0' } : {}
