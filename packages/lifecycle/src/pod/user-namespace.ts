import { join } from 'node:path'
import { noUserNamespaces, podMappings } from '@coracle/container-spec'
import type { PodSandboxConfig } from '@coracle/cri-api'
import type { RootfsRequest } from '@coracle/image'
import { podLayout } from '../layout.ts'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'

/** Throws `failed_precondition` when a pod asks for a user namespace and its handler cannot have one on this machine. */
export function checkUserNamespace(services: Services, config: PodSandboxConfig, runtime: string): void {
  if (podMappings(config) === undefined) return
  const problem = services.handlerSettings(runtime).userNamespaceProblem
  if (problem !== undefined) throw noUserNamespaces(problem)
}

/** Where a pod's user namespace is pinned; undefined: the host's. */
export const usernsPath = (services: Services, pod: Pod): string | undefined =>
  podMappings(pod.config) === undefined ? undefined : join(podLayout(services.settings, pod.id).namespaces, 'user')

/** Who is root in a pod, as ids of the host. */
export function podRoot(config: PodSandboxConfig): { readonly uid: number; readonly gid: number } {
  const mappings = podMappings(config)
  return { uid: mappings?.uids[0]?.hostID ?? 0, gid: mappings?.gids[0]?.hostID ?? 0 }
}

/** For root file systems of the pod's containers. */
export function podIdmap(services: Services, pod: Pod): Pick<RootfsRequest, 'idmap'> {
  const path = usernsPath(services, pod)
  const { uid, gid } = podRoot(pod.config)
  return path === undefined ? {} : { idmap: { usernsPath: path, rootUid: uid, rootGid: gid } }
}
