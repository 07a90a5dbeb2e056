import type { RuntimeService } from '@coracle/cri-api'
import { updateContainer } from '@coracle/lifecycle'
import type { RouteDeps } from '../deps.ts'
import { parseId, required } from '../parse.ts'
import type { Handler } from '../service.ts'

export function updateContainerResources(
  deps: RouteDeps,
): Handler<(typeof RuntimeService)['method']['updateContainerResources']> {
  return async ({ containerId, linux }, { signal }) => {
    const request = { id: parseId('container_id', containerId), resources: required('linux', linux) }
    await updateContainer(deps.services, request, signal)
    return {}
  }
}
