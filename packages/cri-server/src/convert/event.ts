import { ContainerEventResponseSchema, ContainerEventType } from '@coracle/cri-api'
import { create, toBinary } from '@coracle/cri-api/protobuf'
import type { Images } from '@coracle/image'
import type { PodEvent, PodEventKind } from '@coracle/lifecycle'
import { Encoded } from '../encoded.ts'
import { containerStatus } from './container.ts'
import { podStatus } from './pod.ts'

const types = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
} as const satisfies Record<PodEventKind, ContainerEventType>

const encodings = new WeakMap<PodEvent, Encoded>()

/** Encoded once for all subscribers. */
export function encodeEvent(event: PodEvent, images: Pick<Images, 'find'>): Encoded {
  const known = encodings.get(event)
  if (known !== undefined) return known
  const message = create(ContainerEventResponseSchema, {
    containerId: event.id,
    containerEventType: types[event.kind],
    createdAt: event.createdAt,
    ...(event.pod === undefined ? {} : { podSandboxStatus: podStatus(event.pod) }),
    containersStatuses: event.containers.map((container) => containerStatus(container, images)),
  })
  const encoded = new Encoded(Buffer.from(toBinary(ContainerEventResponseSchema, message)))
  encodings.set(event, encoded)
  return encoded
}
