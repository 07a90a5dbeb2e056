import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  ContainerConfigSchema,
  ContainerSchema,
  ContainerState,
  type ContainerStatusSchema,
  type ImageSpec,
  type Mount,
  type MountSchema,
} from '@coracle/cri-api'
import type { Image, Images } from '@coracle/image'
import { type Container, containerSpec, type Services, stopSignalInEffect } from '@coracle/lifecycle'
import { cachedItem } from '../encoded.ts'
import { plain } from './plain.ts'
import { toJson } from './pod.ts'

export function containerState(container: Container): ContainerState {
  switch (container.state.kind) {
    case 'creating':
    case 'created':
      return ContainerState.CONTAINER_CREATED
    case 'running':
      return ContainerState.CONTAINER_RUNNING
    case 'exited':
      return ContainerState.CONTAINER_EXITED
    default:
      return container.state satisfies never
  }
}

const identity = (container: Container) => ({
  id: container.id,
  ...(container.config.metadata === undefined ? {} : { metadata: container.config.metadata }),
  state: containerState(container),
  createdAt: container.createdAt,
  labels: container.config.labels,
  annotations: container.config.annotations,
  imageRef: container.imageRef,
  imageId: container.imageId,
})

export const containerItem = cachedItem(ContainerSchema, (container: Container) => ({
  ...identity(container),
  podSandboxId: container.podId,
  ...(container.config.image === undefined ? {} : { image: container.config.image }),
}))

/** The name shown to people: what the user wrote, else a tag of the image, else what the caller gave. */
function imageOf(container: Container, image: Image | undefined): MessageInitShape<typeof ContainerStatusSchema>['image'] {
  const asked: ImageSpec | undefined = container.config.image
  const shown = asked?.userSpecifiedImage || image?.tags[0] || asked?.image || container.imageId
  return {
    ...(asked === undefined ? {} : { annotations: asked.annotations, userSpecifiedImage: asked.userSpecifiedImage }),
    image: shown,
  }
}

/**
 * A mount of an image tells which one it is by its id: kubelet compares `image.image` with `Image.id` and collects what it does not find there
 * (KEP-4639). What was asked for is in user_specified_image.
 */
function mountOf(mount: Mount, id: string | undefined): MessageInitShape<typeof MountSchema> {
  if (mount.image === undefined || mount.image.image === '' || id === undefined) return mount
  const { image } = mount
  return { ...mount, image: { ...image, image: id, imageRef: id, userSpecifiedImage: image.userSpecifiedImage || image.image } }
}

export function containerStatus(
  container: Container,
  images: Pick<Images, 'find'>,
): MessageInitShape<typeof ContainerStatusSchema> {
  const { state, config, made } = container
  const image = images.find(container.imageId)
  const ended = state.kind === 'exited' ? state : undefined
  const startedAt = state.kind === 'running' || state.kind === 'exited' ? state.startedAt : 0n
  return {
    ...identity(container),
    startedAt,
    finishedAt: ended?.finishedAt ?? 0n,
    exitCode: ended?.exitCode ?? 0,
    reason: ended?.reason ?? '',
    message: ended?.message ?? '',
    image: imageOf(container, image),
    mounts: config.mounts.map((mount, i) => mountOf(mount, made?.imageVolumes?.[i])),
    logPath: container.logPath ?? '',
    stopSignal: stopSignalInEffect(container),
    ...(container.resources === undefined ? {} : { resources: { linux: container.resources } }),
    ...(made === undefined
      ? {}
      : {
          user: {
            linux: {
              uid: BigInt(made.user.uid),
              gid: BigInt(made.user.gid),
              supplementalGroups: made.user.supplementalGroups.map(BigInt),
            },
          },
        }),
  }
}

/** `runtimeSpec` and `config` are where scripts for other runtimes look for them. */
export function containerInfo(container: Container, settings: Services['settings']): Record<string, string> {
  const { state } = container
  const info = {
    sandboxID: container.podId,
    pid: state.kind === 'running' || state.kind === 'created' ? state.pid : 0,
    monitorPid: state.kind === 'running' || state.kind === 'created' ? state.monitorPid : 0,
    runtimeType: container.runtime,
    imageId: container.imageId,
    cgroupsPath: container.made?.cgroupsPath,
    process: container.made?.process,
    stopSignal: container.made?.stopSignal,
    config: plain(ContainerConfigSchema, container.config),
    runtimeSpec: containerSpec(settings, container),
  }
  return { info: toJson(info) }
}
