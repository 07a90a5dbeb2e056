import type { RuntimeService } from '@coracle/cri-api'
import { stopContainer as stop } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId, parseSeconds } from '../parse.ts'
import type { Handler } from '../service.ts'

export function stopContainer(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['stopContainer']> {
  return async ({ containerId, timeout }, { signal }) => {
    await stop(deps.services, { id: parseId('container_id', containerId), graceMs: parseSeconds('timeout', timeout) }, signal)
    return {}
  }
}
