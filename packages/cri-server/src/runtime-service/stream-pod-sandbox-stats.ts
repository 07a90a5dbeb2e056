import type { RuntimeService } from '@coracle/cri-api'
import { filterPods } from '../convert/filter.ts'
import { podStatsItem } from '../convert/stats.ts'
import type { RouteDeps } from '../deps.ts'
import { chunksOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function streamPodSandboxStats(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['streamPodSandboxStats']> {
  return async function* ({ filter }) {
    const uses = await deps.stats.pods(filterPods(deps.services.pods, filter))
    yield* chunksOf(uses.map(podStatsItem))
  }
}
