import type { RuntimeService } from '@coracle/cri-api'
import { filterContainers } from '../convert/filter.ts'
import { containerStatsItem } from '../convert/stats.ts'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function listContainerStats(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['listContainerStats']> {
  return async ({ filter }) => {
    const uses = await deps.stats.containers(filterContainers(deps.services.containers, filter))
    return listOf(uses.map(containerStatsItem))
  }
}
