// What pods and containers use. Every answer is one pass of small reads; only the writable layers are counted in the background.
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { monotonicMs, nowNs } from '@coracle/base/clock'
import type { CgroupUsage, InterfaceCounters } from '@coracle/host'
import { podLayout } from '../layout.ts'
import { type Container, isLive } from '../model/container.ts'
import { isHostNetwork, isReady, type Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { containerCgroup, infraCgroup, podCgroup } from './cgroups.ts'
import { CpuWindows } from './cpu-windows.ts'
import { LayerUsage, type LayerUse } from './layer-usage.ts'
import { sumUsage } from './sum.ts'

/** The longest the event loop is held by reading. */
const sliceMs = 8

export interface ContainerUse {
  readonly container: Container
  /** When it was read. */
  readonly timestampNs: bigint
  /** Undefined when there is no cgroup (any more). */
  readonly usage: CgroupUsage | undefined
  readonly nanoCores: number | undefined
  readonly fileSystem: string
  readonly layer: LayerUse | undefined
}

export interface PodUse {
  readonly pod: Pod
  readonly timestampNs: bigint
  readonly usage: CgroupUsage | undefined
  readonly nanoCores: number | undefined
  /** Undefined in the host's network, or when there is none (any more). */
  readonly network: { readonly defaultName: string; readonly interfaces: readonly InterfaceCounters[] } | undefined
  readonly containers: readonly ContainerUse[]
}

export interface StatsReader {
  container(container: Container): ContainerUse
  /** Of those that may have processes; ended ones are left out. */
  containers(containers: readonly Container[]): Promise<ContainerUse[]>
  pod(pod: Pod): PodUse
  /** Of ready pods; others are left out. */
  pods(pods: readonly Pod[]): Promise<PodUse[]>
}

type Needs = Pick<Services, 'pods' | 'containers' | 'host' | 'facts' | 'images' | 'settings' | 'shutdown'>

export function createStatsReader(services: Needs): StatsReader {
  const windows = new CpuWindows()
  const layers = new LayerUsage(services)
  const readContainer = (container: Container): ContainerUse => {
    const cgroup = containerCgroup(services, container)
    const usage = cgroup === undefined || !isLive(container) ? undefined : services.host.stats.usage(cgroup)
    const timestampNs = nowNs()
    const startedAt = container.state.kind === 'running' ? container.state.startedAt : container.createdAt
    return {
      ...{ container, timestampNs, usage },
      nanoCores: rate(windows, { id: container.id, usage, timestampNs, startedAt }),
      fileSystem: layers.fileSystem(container.id),
      layer: layers.latest(container.id),
    }
  }
  const readPod = (pod: Pod, own: readonly Container[], isShared: boolean): PodUse => {
    const containers = own.filter(isLive).map(readContainer)
    const usage = readPodUsage(services, { pod, isShared, containers })
    const timestampNs = nowNs()
    return {
      ...{ pod, timestampNs, usage, containers },
      nanoCores: rate(windows, { id: pod.id, usage, timestampNs, startedAt: pod.createdAt }),
      network: readNetwork(services, pod),
    }
  }
  const prune = () => {
    const exists = (id: string) => services.containers.has(id) || services.pods.has(id)
    if (windows.size > services.containers.size + services.pods.size) windows.prune(exists)
    layers.prune(exists)
  }
  return {
    container: readContainer,
    containers: (containers) => {
      prune()
      return inSlices(containers.filter(isLive), readContainer)
    },
    pod: (pod) =>
      readPod(
        pod,
        [...services.containers.all()].filter(({ podId }) => podId === pod.id),
        sharedParents(services).has(pod.cgroupParent),
      ),
    pods: (pods) => {
      prune()
      const byPod = Map.groupBy(services.containers.all(), ({ podId }) => podId)
      const shared = sharedParents(services)
      return inSlices(pods.filter(isReady), (pod) => readPod(pod, byPod.get(pod.id) ?? [], shared.has(pod.cgroupParent)))
    },
  }
}

interface Reading {
  readonly id: string
  readonly usage: CgroupUsage | undefined
  readonly timestampNs: bigint
  readonly startedAt: bigint
}

function rate(windows: CpuWindows, { id, usage, timestampNs, startedAt }: Reading): number | undefined {
  if (usage?.cpuNs === undefined) return undefined
  return windows.rate(id, usage.cpuNs, monotonicMs(), Number(timestampNs - startedAt) / 1e6)
}

/** Cgroup parents of more than one pod: their numbers are nobody's own. */
function sharedParents({ pods }: Needs): ReadonlySet<string> {
  const seen = new Set<string>()
  const shared = new Set<string>()
  for (const pod of pods.all()) {
    if (!isReady(pod)) continue
    if (seen.has(pod.cgroupParent)) shared.add(pod.cgroupParent)
    seen.add(pod.cgroupParent)
  }
  return shared
}

interface PodParts {
  readonly pod: Pod
  readonly isShared: boolean
  readonly containers: readonly ContainerUse[]
}

function readPodUsage(services: Needs, { pod, isShared, containers }: PodParts): CgroupUsage | undefined {
  if (!isReady(pod)) return undefined
  const { stats } = services.host
  if (!isShared) return stats.usage(podCgroup(services, pod))
  const infra = pod.infraPid === undefined ? undefined : stats.usage(infraCgroup(services, pod))
  return sumUsage([...containers.map(({ usage }) => usage), infra])
}

function readNetwork({ host, settings }: Needs, pod: Pod): PodUse['network'] {
  if (!isReady(pod) || isHostNetwork(pod.config)) return undefined
  try {
    const interfaces = host.stats.interfaces(join(podLayout(settings, pod.id).namespaces, 'net'))
    return { defaultName: pod.network?.interfaceName ?? 'eth0', interfaces }
  } catch {
    // It is being given back: the pod's other numbers are still right.
    return undefined
  }
}

async function inSlices<T, U>(items: readonly T[], read: (item: T) => U): Promise<U[]> {
  const results: U[] = []
  let until = monotonicMs() + sliceMs
  for (const item of items) {
    if (monotonicMs() > until) {
      await setImmediate()
      until = monotonicMs() + sliceMs
    }
    results.push(read(item))
  }
  return results
}
