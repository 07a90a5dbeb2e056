import type { RuntimeService } from '@coracle/cri-api'
import { containerItem } from '../convert/container.ts'
import { filterContainers } from '../convert/filter.ts'
import type { RouteDeps } from '../deps.ts'
import { chunksOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function streamContainers(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['streamContainers']> {
  return async function* ({ filter }) {
    yield* chunksOf(filterContainers(deps.services.containers, filter).map(containerItem))
  }
}
