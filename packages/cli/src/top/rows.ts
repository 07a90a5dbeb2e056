// What `top` shows, from two answers of the server: who uses how much.
import type { ContainerStats, CpuUsage, PodSandboxStats } from '@coracle/cri-api'
import { shortId } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'

export interface Row {
  readonly id: string
  readonly name: string
  readonly pod: string
  /** 100 is one CPU. Undefined: it was not there the time before. */
  readonly cpuPercent: number | undefined
  readonly memoryBytes: number
  /** Undefined: it has no limit. */
  readonly memoryPercent: number | undefined
  readonly diskBytes: number
  /** Of pods. */
  readonly tasks: number
  readonly receivedBytesPerSecond: number
  readonly sentBytesPerSecond: number
}

export const sortKeys = ['cpu', 'mem', 'disk', 'net', 'name'] as const
export type SortKey = (typeof sortKeys)[number]

export type Snapshot = readonly PodSandboxStats[]

export function containerRows(before: Snapshot, after: Snapshot): Row[] {
  const earlier = new Map(before.flatMap(containersOf).map(([stats]) => [stats.attributes?.id ?? '', stats]))
  return after.flatMap(containersOf).map(([stats, pod]) => ({
    ...base(stats, earlier.get(stats.attributes?.id ?? '')?.cpu),
    name: stats.attributes?.metadata?.name ?? '',
    pod: podName(pod),
    diskBytes: Number(stats.writableLayer?.usedBytes?.value ?? 0n),
    tasks: 0,
    receivedBytesPerSecond: 0,
    sentBytesPerSecond: 0,
  }))
}

export function podRows(before: Snapshot, after: Snapshot): Row[] {
  const earlier = new Map(before.map((stats) => [stats.attributes?.id ?? '', stats]))
  return after.map((stats) => {
    const last = earlier.get(stats.attributes?.id ?? '')
    const linux = stats.linux
    const containers = linux?.containers ?? []
    return {
      ...base({ attributes: stats.attributes, cpu: linux?.cpu, memory: linux?.memory }, last?.linux?.cpu),
      name: podName(stats),
      pod: '',
      diskBytes: containers.reduce((sum, { writableLayer }) => sum + Number(writableLayer?.usedBytes?.value ?? 0n), 0),
      tasks: Number(linux?.process?.processCount?.value ?? 0n),
      receivedBytesPerSecond: rate(last, stats, 'rxBytes'),
      sentBytesPerSecond: rate(last, stats, 'txBytes'),
    }
  })
}

const containersOf = (pod: PodSandboxStats) => (pod.linux?.containers ?? []).map((stats) => [stats, pod] as const)

const podName = ({ attributes }: PodSandboxStats): string =>
  `${attributes?.metadata?.namespace ?? ''}/${attributes?.metadata?.name ?? ''}`

interface Used {
  readonly attributes?: { readonly id: string } | undefined
  readonly cpu?: CpuUsage | undefined
  readonly memory?: ContainerStats['memory']
}

function base({ attributes, cpu, memory }: Used, last: CpuUsage | undefined) {
  const memoryBytes = Number(memory?.workingSetBytes?.value ?? 0n)
  const available = memory?.availableBytes
  const limit = available === undefined ? undefined : memoryBytes + Number(available.value)
  return {
    id: attributes?.id ?? '',
    cpuPercent: cpuPercent(last, cpu),
    memoryBytes,
    memoryPercent: limit === undefined || limit === 0 ? undefined : (memoryBytes / limit) * 100,
  }
}

/** 100 is one CPU. Undefined when one of the two is missing or no time has passed. */
export function cpuPercent(before: CpuUsage | undefined, after: CpuUsage | undefined): number | undefined {
  const elapsedNs = Number((after?.timestamp ?? 0n) - (before?.timestamp ?? 0n))
  if (before === undefined || after === undefined || elapsedNs <= 0) return undefined
  const usedNs = Number((after.usageCoreNanoSeconds?.value ?? 0n) - (before.usageCoreNanoSeconds?.value ?? 0n))
  return (Math.max(usedNs, 0) / elapsedNs) * 100
}

function rate(before: PodSandboxStats | undefined, after: PodSandboxStats, field: 'rxBytes' | 'txBytes'): number {
  const [then, now] = [before?.linux?.network, after.linux?.network]
  const seconds = Number((now?.timestamp ?? 0n) - (then?.timestamp ?? 0n)) / 1e9
  const bytes = Number((now?.defaultInterface?.[field]?.value ?? 0n) - (then?.defaultInterface?.[field]?.value ?? 0n))
  return then === undefined || seconds <= 0 ? 0 : Math.max(bytes, 0) / seconds
}

/** Greatest first, names in their order; equal ones by name, so that rows keep their places. */
export function sorted(rows: readonly Row[], key: SortKey): Row[] {
  const weight = (row: Row): number =>
    ({
      cpu: row.cpuPercent ?? -1,
      mem: row.memoryBytes,
      disk: row.diskBytes,
      net: row.receivedBytesPerSecond + row.sentBytesPerSecond,
      name: 0,
    })[key]
  const text = (row: Row) => `${row.pod} ${row.name} ${row.id}`
  return rows.toSorted((a, b) => weight(b) - weight(a) || (text(a) < text(b) ? -1 : 1))
}

export type View = 'containers' | 'pods'

export const headings: Readonly<Record<View, readonly string[]>> = {
  containers: ['CONTAINER', 'NAME', 'POD', 'CPU %', 'MEM', 'MEM %', 'DISK'],
  pods: ['POD ID', 'POD', 'CPU %', 'MEM', 'MEM %', 'DISK', 'TASKS', 'IN/s', 'OUT/s'],
}

export function cells(view: View, row: Row): string[] {
  const percent = (value: number | undefined) => (value === undefined ? '-' : value.toFixed(1))
  const use = [percent(row.cpuPercent), formatBytes(row.memoryBytes), percent(row.memoryPercent), formatBytes(row.diskBytes)]
  if (view === 'containers') return [shortId(row.id), row.name, row.pod, ...use]
  const perSecond = (value: number) => formatBytes(Math.round(value))
  return [
    shortId(row.id),
    row.name,
    ...use,
    String(row.tasks),
    perSecond(row.receivedBytesPerSecond),
    perSecond(row.sentBytesPerSecond),
  ]
}
