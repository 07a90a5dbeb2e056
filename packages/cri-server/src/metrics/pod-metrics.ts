// The metrics of a pod as such: its network.

import type { MessageInitShape } from '@bufbuild/protobuf'
import { type MetricDescriptorSchema, PodSandboxMetricsSchema } from '@coracle/cri-api'
import type { InterfaceCounters } from '@coracle/host'
import type { ContainerMetrics, PodMetrics } from '@coracle/lifecycle'
import { itemOf } from '../encoded.ts'
import { containerMetrics } from './container-metrics.ts'
import { descriptorOf, measure, metricsOf, type Sample } from './metric.ts'

const { counter } = metricsOf<PodMetrics>()

const byInterface = (name: string, help: string, key: Exclude<keyof InterfaceCounters, 'name'>) =>
  counter(
    `network_${name}_total`,
    help,
    ({ use }) => (use.network?.interfaces ?? []).map((counters): Sample => [counters[key], counters.name]),
    ['interface'],
  )

export const networkMetrics = [
  byInterface('receive_bytes', 'Bytes received.', 'rxBytes'),
  byInterface('receive_errors', 'Errors while receiving.', 'rxErrors'),
  byInterface('receive_packets', 'Packets received.', 'rxPackets'),
  byInterface('receive_packets_dropped', 'Packets dropped while receiving.', 'rxDropped'),
  byInterface('transmit_bytes', 'Bytes sent.', 'txBytes'),
  byInterface('transmit_errors', 'Errors while sending.', 'txErrors'),
  byInterface('transmit_packets', 'Packets sent.', 'txPackets'),
  byInterface('transmit_packets_dropped', 'Packets dropped while sending.', 'txDropped'),
]

export const descriptors: readonly MessageInitShape<typeof MetricDescriptorSchema>[] = [
  ...containerMetrics.map(descriptorOf),
  ...networkMetrics.map(descriptorOf),
].toSorted((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1))

/** The network belongs to no container: `POD` stands for it, as with cAdvisor. */
function podLabels({ use, cgroup }: PodMetrics): readonly string[] {
  const { namespace = '', name = '' } = use.pod.config.metadata ?? {}
  return ['POD', cgroup, '', use.pod.id, namespace, name]
}

function containerLabels({ use, cgroup }: ContainerMetrics, { use: { pod } }: PodMetrics): readonly string[] {
  const { container } = use
  const { namespace = '', name = '' } = pod.config.metadata ?? {}
  const image = container.config.image?.userSpecifiedImage || container.imageRef
  return [container.config.metadata?.name ?? '', cgroup, image, container.id, namespace, name]
}

export function podMetricsItem(pod: PodMetrics): Buffer {
  return itemOf(PodSandboxMetricsSchema, {
    podSandboxId: pod.use.pod.id,
    metrics: measure(networkMetrics, pod, { base: podLabels(pod), timestamp: pod.use.timestampNs }),
    containerMetrics: pod.containers.map((container) => ({
      containerId: container.use.container.id,
      metrics: measure(containerMetrics, container, {
        base: containerLabels(container, pod),
        timestamp: container.use.timestampNs,
      }),
    })),
  })
}
