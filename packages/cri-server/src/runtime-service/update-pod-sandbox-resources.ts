import type { RuntimeService } from '@coracle/cri-api'
import { updatePodResources } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function updatePodSandboxResources(
  deps: RouteDeps,
): Handler<(typeof RuntimeService)['method']['updatePodSandboxResources']> {
  return ({ podSandboxId, overhead, resources }) => {
    updatePodResources(deps.services, parseId('pod_sandbox_id', podSandboxId), { overhead, resources })
    return {}
  }
}
