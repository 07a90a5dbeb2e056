import { abortable } from '@coracle/base/signals'
import type { RuntimeService } from '@coracle/cri-api'
import { stopPod } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function stopPodSandbox(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['stopPodSandbox']> {
  return async ({ podSandboxId }, { signal }) => {
    await abortable(stopPod(deps.services, parseId('pod_sandbox_id', podSandboxId)), signal)
    return {}
  }
}
