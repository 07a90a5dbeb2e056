import type { ContainerFilter, ContainerStatsFilter, PodSandboxFilter, PodSandboxStatsFilter } from '@coracle/cri-api'
import { type Container, type Containers, isContainerVisible, isPodVisible, type Pod, type Pods } from '@coracle/lifecycle'
import { containerState } from './container.ts'
import { podState } from './pod.ts'

type Labels = Readonly<Record<string, string>>

const matches = (labels: Labels, selector: Labels): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value)

/** All conditions must hold; an id may be a prefix. */
export function filterPods(pods: Pods, filter: PodSandboxFilter | PodSandboxStatsFilter | undefined): Pod[] {
  const all = [...pods.all()].filter(isPodVisible)
  if (filter === undefined) return all
  return all.filter(
    (pod) =>
      pod.id.startsWith(filter.id) &&
      (!('state' in filter) || filter.state === undefined || filter.state.state === podState(pod)) &&
      matches(pod.config.labels, filter.labelSelector),
  )
}

export function filterContainers(
  containers: Containers,
  filter: ContainerFilter | ContainerStatsFilter | undefined,
): Container[] {
  const all = [...containers.all()].filter(isContainerVisible)
  if (filter === undefined) return all
  return all.filter(
    (container) =>
      container.id.startsWith(filter.id) &&
      container.podId.startsWith(filter.podSandboxId) &&
      (!('state' in filter) || filter.state === undefined || filter.state.state === containerState(container)) &&
      matches(container.config.labels, filter.labelSelector),
  )
}
