import type { RuntimeService } from '@coracle/cri-api'
import { encodeEvent } from '../convert/event.ts'
import type { RouteDeps } from '../deps.ts'
import type { Handler } from '../service.ts'

export function getContainerEvents({
  events,
  images,
}: RouteDeps): Handler<(typeof RuntimeService)['method']['getContainerEvents']> {
  return async function* (_request, { signal }) {
    for await (const event of events.subscribe(signal)) yield encodeEvent(event, images)
  }
}
