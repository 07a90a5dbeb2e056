import { join } from 'node:path'
import { CodedError, precondition } from '@coracle/base/errors'
import type { Host, NamespaceInodes, NamespaceType, ProcessIsolation } from '@coracle/host'
import { runtimeOf } from './handlers.ts'
import { containerPaths, podLayout } from './layout.ts'
import { type Container, isContainerVisible, isLive, isRunning } from './model/container.ts'
import type { Pod } from './model/pod.ts'
import type { Services } from './services.ts'

export interface ContainerIsolation extends ProcessIsolation {
  readonly containerId: string
  readonly handler: string
  readonly pid: number
  /** `sandbox`: the container has a kernel of its own, and what is told is of the process around that kernel. */
  readonly vantage: 'container' | 'sandbox'
  /** `host`, `pod`, `container ID` or `own`, for each namespace. */
  readonly sharedWith: Readonly<Partial<Record<NamespaceType, string>>>
}

/**
 * How a container is confined, read from the kernel now. Throws `not_found`, or `failed_precondition` when it has no process
 * or lost it meanwhile.
 */
export function containerIsolation(services: Services, id: string): ContainerIsolation {
  const container = services.containers.get(id)
  if (!isContainerVisible(container)) throw new CodedError('not_found', `container ${id} does not exist`)
  const runtime = runtimeOf(services, container)
  // The monitor's own record of the init process has its start time: a pid that came back is not taken for it.
  const { pid } = runtime.inspect(containerPaths(services.settings, container.id))
  const process = pid === undefined ? undefined : services.host.processes.identify(pid)
  const found = process === undefined || !isLive(container) ? undefined : services.host.isolation.read(process)
  if (
    process === undefined ||
    found === undefined ||
    runtime.inspect(containerPaths(services.settings, container.id)).pid !== pid
  )
    throw precondition(`container ${container.id} has no process to look at (${container.state.kind})`)
  return {
    ...found,
    containerId: container.id,
    handler: container.runtime,
    pid: process.pid,
    vantage: runtime.sandboxed ? 'sandbox' : 'container',
    sharedWith: sharing(services, container, found.namespaces),
  }
}

type Owner = { readonly name: string; readonly namespaces: NamespaceInodes }

function sharing(services: Services, container: Container, namespaces: NamespaceInodes): ContainerIsolation['sharedWith'] {
  const owners = ownersAround(services, container)
  return Object.fromEntries(
    Object.entries(namespaces).map(([type, inode]) => {
      const owner = owners.find((candidate) => candidate.namespaces[type as NamespaceType] === inode)
      return [type, owner?.name ?? 'own']
    }),
  )
}

/** With whom it may share, the widest first. */
function ownersAround(services: Services, container: Container): readonly Owner[] {
  const { isolation } = services.host
  const pod = services.pods.find(container.podId)
  const neighbours = [...services.containers.all()].filter(
    (other) => other.podId === container.podId && other.id !== container.id,
  )
  return [
    { name: 'host', namespaces: isolation.hostNamespaces() },
    ...(pod === undefined ? [] : [{ name: 'pod', namespaces: podNamespaces(services, isolation, pod) }]),
    ...neighbours.filter(isRunning).map((other) => ({
      name: `container ${other.id}`,
      namespaces: namespacesBelow(isolation, `/proc/${other.state.pid}/ns`),
    })),
  ]
}

const types: readonly NamespaceType[] = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

const namespacesBelow = (isolation: Host['isolation'], directory: string): NamespaceInodes =>
  Object.fromEntries(types.map((type) => [type, isolation.namespaceAt(join(directory, type))]))

function podNamespaces(services: Services, isolation: Host['isolation'], pod: Pod): NamespaceInodes {
  const pinned = namespacesBelow(isolation, podLayout(services.settings, pod.id).namespaces)
  const init = pod.infraPid === undefined ? {} : namespacesBelow(isolation, `/proc/${pod.infraPid}/ns`)
  const present = (found: NamespaceInodes) => Object.fromEntries(Object.entries(found).filter(([, inode]) => inode !== undefined))
  return { ...present(init), ...present(pinned) }
}
