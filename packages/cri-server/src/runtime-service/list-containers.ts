import type { RuntimeService } from '@coracle/cri-api'
import { containerItem } from '../convert/container.ts'
import { filterContainers } from '../convert/filter.ts'
import type { RouteDeps } from '../deps.ts'
import { listOf } from '../encoded.ts'
import type { Handler } from '../service.ts'

export function listContainers(deps: RouteDeps): Handler<(typeof RuntimeService)['method']['listContainers']> {
  return ({ filter }) => listOf(filterContainers(deps.services.containers, filter).map(containerItem))
}
