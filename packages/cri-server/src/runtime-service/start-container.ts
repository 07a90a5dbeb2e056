import type { RuntimeService } from '@coracle/cri-api'
import { startContainer as start } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function startContainer(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['startContainer']> {
  return async ({ containerId }, { signal }) => {
    await start(deps.services, parseId('container_id', containerId), signal)
    return {}
  }
}
