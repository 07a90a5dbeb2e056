import type { RuntimeService } from '@coracle/cri-api'
import { filterPods } from '../convert/filter.ts'
import { podItem } from '../convert/pod.ts'
import type { RouteDeps } from '../deps.ts'
import { chunksOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function streamPodSandboxes(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['streamPodSandboxes']> {
  return async function* ({ filter }) {
    yield* chunksOf(filterPods(deps.services.pods, filter).map(podItem))
  }
}
