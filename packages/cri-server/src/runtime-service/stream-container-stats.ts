import type { RuntimeService } from '@coracle/cri-api'
import { filterContainers } from '../convert/filter.ts'
import { containerStatsItem } from '../convert/stats.ts'
import type { RouteDeps } from '../deps.ts'
import { chunksOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function streamContainerStats(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['streamContainerStats']> {
  return async function* ({ filter }) {
    const uses = await deps.stats.containers(filterContainers(deps.services.containers, filter))
    yield* chunksOf(uses.map(containerStatsItem))
  }
}
