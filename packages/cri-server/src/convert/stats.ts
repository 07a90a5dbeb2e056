import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  ContainerStatsSchema,
  type CpuUsageSchema,
  type MemoryUsageSchema,
  type NetworkInterfaceUsageSchema,
  PodSandboxStatsSchema,
  type PsiStatsSchema,
} from '@coracle/cri-api'
import type { CgroupUsage, InterfaceCounters, MemoryUse, Pressure, PressureTimes } from '@coracle/host'
import type { ContainerUse, PodUse } from '@coracle/lifecycle'
import { itemOf } from '../encoded.ts'

type Init<D extends Parameters<typeof itemOf>[0]> = MessageInitShape<D>

const count = (value: number) => ({ value: BigInt(value) })

const psiData = ({ totalNs, avg10, avg60, avg300 }: PressureTimes) => ({
  Total: BigInt(totalNs),
  Avg10: avg10,
  Avg60: avg60,
  Avg300: avg300,
})

const psi = (pressure: Pressure | undefined): { psi?: Init<typeof PsiStatsSchema> } =>
  pressure === undefined ? {} : { psi: { Full: psiData(pressure.full), Some: psiData(pressure.some) } }

function cpu(timestamp: bigint, usage: CgroupUsage, nanoCores: number | undefined): Init<typeof CpuUsageSchema> {
  return {
    timestamp,
    ...(usage.cpuNs === undefined ? {} : { usageCoreNanoSeconds: count(usage.cpuNs) }),
    ...(nanoCores === undefined ? {} : { usageNanoCores: count(nanoCores) }),
    ...psi(usage.cpuPressure),
  }
}

function memory(timestamp: bigint, use: MemoryUse, pressure: Pressure | undefined): Init<typeof MemoryUsageSchema> {
  return {
    timestamp,
    workingSetBytes: count(use.workingSetBytes),
    ...(use.limitBytes === undefined ? {} : { availableBytes: count(Math.max(use.limitBytes - use.workingSetBytes, 0)) }),
    usageBytes: count(use.usageBytes),
    rssBytes: count(use.rssBytes),
    pageFaults: count(use.pageFaults),
    majorPageFaults: count(use.majorPageFaults),
    ...psi(pressure),
  }
}

const swap = (timestamp: bigint, { swapBytes, swapLimitBytes }: MemoryUse) => ({
  timestamp,
  swapUsageBytes: count(swapBytes),
  ...(swapLimitBytes === undefined ? {} : { swapAvailableBytes: count(Math.max(swapLimitBytes - swapBytes, 0)) }),
})

/** An ended container has neither CPU nor memory, only its writable layer. */
export function containerStats(use: ContainerUse): Init<typeof ContainerStatsSchema> {
  const { container, usage, layer, timestampNs: timestamp } = use
  const { metadata, labels, annotations } = container.config
  return {
    attributes: { id: container.id, ...(metadata === undefined ? {} : { metadata }), labels, annotations },
    ...(usage === undefined ? {} : { cpu: cpu(timestamp, usage, use.nanoCores) }),
    ...(usage?.memory === undefined
      ? {}
      : { memory: memory(timestamp, usage.memory, usage.memoryPressure), swap: swap(timestamp, usage.memory) }),
    ...(usage === undefined ? {} : { io: { timestamp, ...psi(usage.ioPressure) } }),
    writableLayer: {
      timestamp,
      fsId: { mountpoint: use.fileSystem },
      ...(layer === undefined ? {} : { usedBytes: { value: layer.usedBytes }, inodesUsed: { value: layer.inodes } }),
    },
  }
}

const interfaceUsage = (counters: InterfaceCounters): Init<typeof NetworkInterfaceUsageSchema> => ({
  name: counters.name,
  rxBytes: count(counters.rxBytes),
  rxErrors: count(counters.rxErrors),
  txBytes: count(counters.txBytes),
  txErrors: count(counters.txErrors),
})

function network(use: PodUse) {
  if (use.network === undefined) return {}
  const { defaultName, interfaces } = use.network
  const first = interfaces.find(({ name }) => name === defaultName)
  return {
    network: {
      timestamp: use.timestampNs,
      ...(first === undefined ? {} : { defaultInterface: interfaceUsage(first) }),
      interfaces: interfaces.filter((other) => other !== first).map(interfaceUsage),
    },
  }
}

/** `linux` is always there: kubelet reads it without a look. */
export function podStats(use: PodUse): Init<typeof PodSandboxStatsSchema> {
  const { pod, usage, timestampNs: timestamp } = use
  const { metadata, labels, annotations } = pod.config
  return {
    attributes: { id: pod.id, ...(metadata === undefined ? {} : { metadata }), labels, annotations },
    linux: {
      ...(usage === undefined ? {} : { cpu: cpu(timestamp, usage, use.nanoCores), io: { timestamp, ...psi(usage.ioPressure) } }),
      ...(usage?.memory === undefined ? {} : { memory: memory(timestamp, usage.memory, usage.memoryPressure) }),
      ...(usage?.tasks === undefined ? {} : { process: { timestamp, processCount: count(usage.tasks) } }),
      ...network(use),
      containers: use.containers.map(containerStats),
    },
  }
}

export const containerStatsItem = (use: ContainerUse): Buffer => itemOf(ContainerStatsSchema, containerStats(use))
export const podStatsItem = (use: PodUse): Buffer => itemOf(PodSandboxStatsSchema, podStats(use))
