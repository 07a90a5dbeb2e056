import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf'
import {
  ContainerStatsSchema,
  type CpuUsageSchema,
  LinuxPodSandboxStatsSchema,
  type MemoryUsageSchema,
  type NetworkInterfaceUsageSchema,
  PodSandboxStatsSchema,
  type PsiStatsSchema,
} from '@coracle/cri-api'
import { create, toBinary } from '@coracle/cri-api/protobuf'
import type { CgroupUsage, InterfaceCounters, MemoryUse, Pressure, PressureTimes } from '@coracle/host'
import type { Container, ContainerUse, Pod, PodUse } from '@coracle/lifecycle'
import { field } from '../encoded.ts'

type Init<D extends DescMessage> = MessageInitShape<D>

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
export function containerStats(use: ContainerUse) {
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
      timestamp: layer?.countedAtNs ?? timestamp,
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
export function podStats(use: PodUse) {
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

// Names, labels and annotations are most of a message and never change: encoded once a record, the numbers each time.

const identityOf = new WeakMap<Container | Pod, Uint8Array>()

function identity(of: Container | Pod, encode: () => Uint8Array): Uint8Array {
  let bytes = identityOf.get(of)
  if (bytes === undefined) {
    bytes = encode()
    identityOf.set(of, bytes)
  }
  return bytes
}

function containerParts(use: ContainerUse): readonly Uint8Array[] {
  const { attributes = {}, ...numbers } = containerStats(use)
  const names = identity(use.container, () => toBinary(ContainerStatsSchema, create(ContainerStatsSchema, { attributes })))
  return [names, toBinary(ContainerStatsSchema, create(ContainerStatsSchema, numbers))]
}

/** `containerStats` as an item of a list. */
export const containerStatsItem = (use: ContainerUse): Buffer => field(1, containerParts(use))

/** `podStats` as an item of a list. */
export function podStatsItem(use: PodUse): Buffer {
  const { attributes, linux } = podStats({ ...use, containers: [] })
  const names = identity(use.pod, () => toBinary(PodSandboxStatsSchema, create(PodSandboxStatsSchema, { attributes })))
  const numbers = toBinary(LinuxPodSandboxStatsSchema, create(LinuxPodSandboxStatsSchema, linux))
  const containers = use.containers.map((container) => field(linuxFields.containers, containerParts(container)))
  return field(1, [names, field(podFields.linux, [numbers, ...containers])])
}

// Numbers of the fields in the CRI's proto file.
const podFields = { linux: 2 } as const
const linuxFields = { containers: 5 } as const
