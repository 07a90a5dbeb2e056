import { precondition } from '@coracle/base/errors'
import type { LinuxContainerResources } from '@coracle/cri-api'
import { isReady } from '../model/pod.ts'
import type { Services } from '../services.ts'

/** Notes the sums that the caller has already written to the pod's cgroup. We change no cgroup here: the parent is the caller's. */
export function updatePodResources(
  services: Services,
  id: string,
  update: { readonly overhead: LinuxContainerResources | undefined; readonly resources: LinuxContainerResources | undefined },
): void {
  const pod = services.pods.get(id)
  if (!isReady(pod)) throw precondition(`pod sandbox ${pod.id} is not ready`)
  services.pods.put({ ...pod, overhead: update.overhead ?? pod.overhead, resources: update.resources ?? pod.resources })
}
