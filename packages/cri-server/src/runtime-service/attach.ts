import type { RuntimeService } from '@coracle/cri-api'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'
import { attachableContainerId } from './stream-targets.ts'

/** Only checks and hands out a URL; the client then dials the streaming server. */
export function attach(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['attach']> {
  return ({ containerId, tty, stdin, stdout, stderr }) => {
    const id = attachableContainerId(deps.services, containerId)
    return { url: deps.streaming.attachUrl({ containerId: id, tty, stdin, stdout, stderr }) }
  }
}
