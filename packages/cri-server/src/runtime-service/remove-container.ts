import { abortable } from '@coracle/base/signals'
import type { RuntimeService } from '@coracle/cri-api'
import { removeContainer as remove } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function removeContainer(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['removeContainer']> {
  return async ({ containerId }, { signal }) => {
    await abortable(remove(deps.services, parseId('container_id', containerId)), signal)
    return {}
  }
}
