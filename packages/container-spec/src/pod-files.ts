// The text of a pod's own files: resolv.conf(5), hosts(5), hostname(5).
import { isIP } from 'node:net'
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { DNSConfig, PodSandboxConfig } from '@coracle/cri-api'
import { namespaceMode } from './cri-values.ts'

export const isHostNetworked = (config: PodSandboxConfig): boolean =>
  config.linux?.securityContext?.namespaceOptions?.network === namespaceMode.node

/** The name in the pod's UTS namespace and in HOSTNAME: the host's for pods on its network and for those that name none. */
export function podHostname(config: PodSandboxConfig, hostHostname: string): string {
  if (isHostNetworked(config) || config.hostname === '') return hostHostname
  return parseHostname('config.hostname', config.hostname)
}

/** Throws `invalid_argument` unless `name` fits sethostname(2) and DNS: 64 letters, digits, `-` and `.`. */
export function parseHostname(field: string, name: string): string {
  if (name.length > 64 || !/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name))
    throw invalid(
      `${field} ${quote(name)} must be up to 64 letters, digits, "-" and ".", beginning and ending with a letter or digit`,
    )
  return name
}

/** For containers whose caller mounts no /etc/hosts: loopback and the pod's own addresses. */
export function hostsFile(ips: readonly string[], hostname: string): string {
  const own = ips.filter((ip) => isIP(ip) !== 0).map((ip) => `${ip}\t${parseHostname('hostname', hostname)}`)
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...own,
    '',
  ].join('\n')
}

/** From the pod's DNS settings; without any, the host's own text. Throws `invalid_argument` for a word that would begin another line. */
export function resolvConf(dns: DNSConfig | undefined, hostText: string): string {
  if (dns === undefined || (dns.servers.length === 0 && dns.searches.length === 0 && dns.options.length === 0)) return hostText
  checkDns(dns)
  const lines = [
    ...(dns.searches.length === 0 ? [] : [`search ${dns.searches.join(' ')}`]),
    ...dns.servers.map((server) => `nameserver ${server}`),
    ...(dns.options.length === 0 ? [] : [`options ${dns.options.join(' ')}`]),
  ]
  return `${lines.join('\n')}\n`
}

/** Throws `invalid_argument` unless every entry is one word. */
export function checkDns(dns: DNSConfig): void {
  for (const [name, words] of [
    ['servers', dns.servers],
    ['searches', dns.searches],
    ['options', dns.options],
  ] as const)
    words.forEach((word, i) => {
      if (!/^[^\s\0-\x1f\x7f]{1,255}$/.test(word))
        throw invalid(`config.dns_config.${name}[${i}] ${quote(word)} must be one word without blanks`)
    })
}
