import { notFound } from '@coracle/base/errors'
import type { RuntimeService } from '@coracle/cri-api'
import { isPodVisible } from '@coracle/lifecycle'
import { podStats } from '../convert/stats.ts'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function podSandboxStats(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['podSandboxStats']> {
  return ({ podSandboxId }) => {
    const pod = deps.services.pods.get(parseId('pod_sandbox_id', podSandboxId))
    if (!isPodVisible(pod)) throw notFound(`pod sandbox ${pod.id} does not exist`)
    return { stats: podStats(deps.stats.pod(pod)) }
  }
}
