import { notFound } from '@coracle/base/errors'
import type { RuntimeService } from '@coracle/cri-api'
import { claimContainer, isContainerVisible } from '@coracle/lifecycle'
import { containerInfo, containerStatus as convert } from '../convert/container.ts'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function containerStatus(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['containerStatus']> {
  return ({ containerId, verbose }) => {
    const { services, images } = deps
    const container = services.containers.get(parseId('container_id', containerId))
    if (!isContainerVisible(container)) throw notFound(`container ${container.id} does not exist`)
    claimContainer(services, container.id)
    return { status: convert(container, images), info: verbose ? containerInfo(container, services.settings) : {} }
  }
}
