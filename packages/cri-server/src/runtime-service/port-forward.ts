import { precondition } from '@coracle/base/errors'
import type { RuntimeService } from '@coracle/cri-api'
import { isReady } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'
import { knownPod } from './stream-targets.ts'

/** Only checks and hands out a URL; the client then dials the streaming server. */
export function portForward(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['portForward']> {
  return ({ podSandboxId, port }) => {
    const pod = knownPod(deps.services, podSandboxId)
    if (!isReady(pod)) throw precondition(`pod sandbox ${pod.id} is not ready`)
    return { url: deps.streaming.portForwardUrl({ podId: pod.id, ports: port }) }
  }
}
