import type { RuntimeService } from '@coracle/cri-api'
import { runPod } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { fingerprint } from '../fingerprint.ts'
import { required } from '../parse.ts'
import type { Handler } from '../service.ts'

export function runPodSandbox(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['runPodSandbox']> {
  return async ({ config, runtimeHandler }, { signal }) => {
    const request = {
      config: required('config', config),
      handler: runtimeHandler,
      fingerprint: fingerprint(config, runtimeHandler),
    }
    return { podSandboxId: await runPod(deps.services, request, signal) }
  }
}
