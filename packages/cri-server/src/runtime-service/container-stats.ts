import { notFound } from '@coracle/base/errors'
import type { RuntimeService } from '@coracle/cri-api'
import { isContainerVisible } from '@coracle/lifecycle'
import { containerStats as convert } from '../convert/stats.ts'
import type { RouteDeps } from '../deps.ts'
import { parseId } from '../parse.ts'
import type { Handler } from '../service.ts'

export function containerStats(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['containerStats']> {
  return ({ containerId }) => {
    const container = deps.services.containers.get(parseId('container_id', containerId))
    if (!isContainerVisible(container)) throw notFound(`container ${container.id} does not exist`)
    return { stats: convert(deps.stats.container(container)) }
  }
}
