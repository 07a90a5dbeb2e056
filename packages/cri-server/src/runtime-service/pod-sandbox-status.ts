import { nowNs } from '@coracle/base/clock'
import { notFound } from '@coracle/base/errors'
import type { RuntimeService } from '@coracle/cri-api'
import { claimPod, isPodVisible, visibleContainersOf } from '@coracle/lifecycle'
import { containerStatus } from '../convert/container.ts'
import { podInfo, podStatus } from '../convert/pod.ts'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function podSandboxStatus(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['podSandboxStatus']> {
  return ({ podSandboxId, verbose }) => {
    const { services, images } = deps
    const pod = services.pods.get(parseId('pod_sandbox_id', podSandboxId))
    if (!isPodVisible(pod)) throw notFound(`pod sandbox ${pod.id} does not exist`)
    claimPod(services, pod.id)
    const containers = visibleContainersOf(services.containers.all(), pod.id)
    return {
      status: podStatus(pod),
      info: verbose ? podInfo(pod, services.settings) : {},
      containersStatuses: containers.map((container) => containerStatus(container, images)),
      timestamp: nowNs(),
    }
  }
}
