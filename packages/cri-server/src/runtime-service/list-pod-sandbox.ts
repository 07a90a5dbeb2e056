import type { RuntimeService } from '@coracle/cri-api'
import { filterPods } from '../convert/filter.ts'
import { podItem } from '../convert/pod.ts'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function listPodSandbox(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['listPodSandbox']> {
  return ({ filter }) => listOf(filterPods(deps.services.pods, filter).map(podItem))
}
