import type { RuntimeService } from '@coracle/cri-api'
import { reopenContainerLog as reopen } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function reopenContainerLog(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['reopenContainerLog']> {
  return async ({ containerId }, { signal }) => {
    await reopen(deps.services, parseId('container_id', containerId), signal)
    return {}
  }
}
