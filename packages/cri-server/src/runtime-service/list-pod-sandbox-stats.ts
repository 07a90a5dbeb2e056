import type { RuntimeService } from '@coracle/cri-api'
import { filterPods } from '../convert/filter.ts'
import { podStatsItem } from '../convert/stats.ts'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function listPodSandboxStats(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['listPodSandboxStats']> {
  return async ({ filter }) => {
    const uses = await deps.stats.pods(filterPods(deps.services.pods, filter))
    return listOf(uses.map(podStatsItem))
  }
}
