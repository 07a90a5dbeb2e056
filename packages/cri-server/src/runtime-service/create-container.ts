import type { RuntimeService } from '@coracle/cri-api'
import { createContainer as create } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { fingerprint } from '../fingerprint.ts'
import { parseId, required } from '../parse.ts'
import type { Handler } from '../service.ts'

export function createContainer(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['createContainer']> {
  return async ({ podSandboxId, config }, { signal }) => {
    const request = {
      podId: parseId('pod_sandbox_id', podSandboxId),
      config: required('config', config),
      fingerprint: fingerprint(config),
    }
    return { containerId: await create(deps.services, request, signal) }
  }
}
