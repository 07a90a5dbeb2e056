import { join } from 'node:path'
import { invalid } from '@coracle/base/errors'
import type { Attachment, Capabilities, PortMapping } from '@coracle/cni'
import type { PodSandboxConfig } from '@coracle/cri-api'
import { podLayout } from '../layout.ts'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'

/** What the network plugins are told about a pod; the same for ADD, DEL and GC. */
export function attachmentOf(services: Services, pod: Pod): Attachment {
  const { namespaces } = podLayout(services.settings, pod.id)
  return {
    containerId: pod.id,
    netns: services.host.namespaces.isPinned(namespaces, 'net') ? join(namespaces, 'net') : '',
    podName: pod.config.metadata?.name ?? '',
    podNamespace: pod.config.metadata?.namespace ?? '',
    podUid: pod.config.metadata?.uid ?? '',
    capabilities: capabilitiesOf(pod.config),
  }
}

/** Throws `invalid_argument` for what cannot be told to plugins. To be asked before anything is made: DEL and GC must not fail of it. */
export function checkNetworkConfig(config: PodSandboxConfig): void {
  capabilitiesOf(config)
}

const protocols = ['tcp', 'udp', 'sctp'] as const

function capabilitiesOf(config: PodSandboxConfig): Capabilities {
  const portMappings = config.portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ protocol, hostPort, containerPort, hostIp }): PortMapping => {
      const name = protocols[protocol]
      if (name === undefined) throw invalid(`config.port_mappings.protocol ${protocol} is unknown: expected TCP, UDP or SCTP`)
      return { protocol: name, hostPort, containerPort, hostIP: hostIp }
    })
  const bandwidth = bandwidthOf(config.annotations)
  const dns = config.dnsConfig
  return {
    ...(portMappings.length === 0 ? {} : { portMappings }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(dns === undefined ? {} : { dns: { servers: dns.servers, searches: dns.searches, options: dns.options } }),
  }
}

// The two annotations that Kubernetes documents for traffic shaping; in bits per second. The burst is what the kernel's token bucket takes at most.
function bandwidthOf(annotations: Readonly<Record<string, string>>): Capabilities['bandwidth'] {
  const ingressRate = quantityOf(annotations, 'kubernetes.io/ingress-bandwidth')
  const egressRate = quantityOf(annotations, 'kubernetes.io/egress-bandwidth')
  if (ingressRate === 0 && egressRate === 0) return undefined
  const burst = (rate: number) => (rate === 0 ? 0 : 2 ** 31 - 1)
  return { ingressRate, ingressBurst: burst(ingressRate), egressRate, egressBurst: burst(egressRate) }
}

const suffixes: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

function quantityOf(annotations: Readonly<Record<string, string>>, name: string): number {
  const text = annotations[name]
  if (text === undefined) return 0
  const match = /^(\d{1,15}(?:\.\d{1,9})?)(|k|M|G|T|Ki|Mi|Gi|Ti)$/.exec(text)
  const value = match === null ? Number.NaN : Math.floor(Number(match[1]) * (suffixes[match[2] ?? ''] ?? Number.NaN))
  if (!(value >= 1000 && value <= 1e15))
    throw invalid(`annotation ${name} ${JSON.stringify(text)} must be a quantity between 1k and 1P, such as 10M`)
  return value
}
