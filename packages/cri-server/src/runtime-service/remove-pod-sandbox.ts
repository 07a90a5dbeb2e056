import { abortable } from '@coracle/base/signals'
import type { RuntimeService } from '@coracle/cri-api'
import { removePod } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function removePodSandbox(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['removePodSandbox']> {
  return async ({ podSandboxId }, { signal }) => {
    await abortable(removePod(deps.services, parseId('pod_sandbox_id', podSandboxId)), signal)
    return {}
  }
}
