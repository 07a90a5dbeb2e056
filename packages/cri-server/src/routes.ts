// All RPCs that are served, by service. Those not named here answer Unimplemented.
import type { ImageService, RuntimeService } from '@coracle/cri-api'
import type { RouteDeps } from './deps.ts'
import { imageFsInfo } from './image-service/image-fs-info.ts'
import { imageStatus } from './image-service/image-status.ts'
import { listImages } from './image-service/list-images.ts'
import { pullImage } from './image-service/pull-image.ts'
import { removeImage } from './image-service/remove-image.ts'
import { streamImages } from './image-service/stream-images.ts'
import { attach } from './runtime-service/attach.ts'
import { containerStats } from './runtime-service/container-stats.ts'
import { containerStatus } from './runtime-service/container-status.ts'
import { createContainer } from './runtime-service/create-container.ts'
import { exec } from './runtime-service/exec.ts'
import { execSync } from './runtime-service/exec-sync.ts'
import { getContainerEvents } from './runtime-service/get-container-events.ts'
import { listContainerStats } from './runtime-service/list-container-stats.ts'
import { listContainers } from './runtime-service/list-containers.ts'
import { listMetricDescriptors } from './runtime-service/list-metric-descriptors.ts'
import { listPodSandbox } from './runtime-service/list-pod-sandbox.ts'
import { listPodSandboxMetrics } from './runtime-service/list-pod-sandbox-metrics.ts'
import { listPodSandboxStats } from './runtime-service/list-pod-sandbox-stats.ts'
import { podSandboxStats } from './runtime-service/pod-sandbox-stats.ts'
import { podSandboxStatus } from './runtime-service/pod-sandbox-status.ts'
import { portForward } from './runtime-service/port-forward.ts'
import { removeContainer } from './runtime-service/remove-container.ts'
import { removePodSandbox } from './runtime-service/remove-pod-sandbox.ts'
import { reopenContainerLog } from './runtime-service/reopen-container-log.ts'
import { runPodSandbox } from './runtime-service/run-pod-sandbox.ts'
import { runtimeConfig } from './runtime-service/runtime-config.ts'
import { startContainer } from './runtime-service/start-container.ts'
import { status } from './runtime-service/status.ts'
import { stopContainer } from './runtime-service/stop-container.ts'
import { stopPodSandbox } from './runtime-service/stop-pod-sandbox.ts'
import { streamContainerStats } from './runtime-service/stream-container-stats.ts'
import { streamContainers } from './runtime-service/stream-containers.ts'
import { streamPodSandboxMetrics } from './runtime-service/stream-pod-sandbox-metrics.ts'
import { streamPodSandboxStats } from './runtime-service/stream-pod-sandbox-stats.ts'
import { streamPodSandboxes } from './runtime-service/stream-pod-sandboxes.ts'
import { updateContainerResources } from './runtime-service/update-container-resources.ts'
import { updatePodSandboxResources } from './runtime-service/update-pod-sandbox-resources.ts'
import { updateRuntimeConfig } from './runtime-service/update-runtime-config.ts'
import { version } from './runtime-service/version.ts'
import type { Handlers } from './service.ts'

export const runtimeRoutes = (deps: RouteDeps): Handlers<typeof RuntimeService> => ({
  exec: exec(deps),
  attach: attach(deps),
  portForward: portForward(deps),
  containerStatus: containerStatus(deps),
  createContainer: createContainer(deps),
  execSync: execSync(deps),
  listContainers: listContainers(deps),
  listPodSandbox: listPodSandbox(deps),
  podSandboxStatus: podSandboxStatus(deps),
  removeContainer: removeContainer(deps),
  removePodSandbox: removePodSandbox(deps),
  reopenContainerLog: reopenContainerLog(deps),
  runPodSandbox: runPodSandbox(deps),
  runtimeConfig: runtimeConfig(deps),
  startContainer: startContainer(deps),
  status: status(deps),
  stopContainer: stopContainer(deps),
  stopPodSandbox: stopPodSandbox(deps),
  streamContainers: streamContainers(deps),
  streamPodSandboxes: streamPodSandboxes(deps),
  updateContainerResources: updateContainerResources(deps),
  updatePodSandboxResources: updatePodSandboxResources(deps),
  updateRuntimeConfig: updateRuntimeConfig(deps),
  containerStats: containerStats(deps),
  listContainerStats: listContainerStats(deps),
  streamContainerStats: streamContainerStats(deps),
  podSandboxStats: podSandboxStats(deps),
  listPodSandboxStats: listPodSandboxStats(deps),
  streamPodSandboxStats: streamPodSandboxStats(deps),
  listMetricDescriptors: listMetricDescriptors(),
  listPodSandboxMetrics: listPodSandboxMetrics(deps),
  streamPodSandboxMetrics: streamPodSandboxMetrics(deps),
  getContainerEvents: getContainerEvents(deps),
  version: version(deps),
})

export const imageRoutes = (deps: RouteDeps): Handlers<typeof ImageService> => ({
  imageFsInfo: imageFsInfo(deps),
  imageStatus: imageStatus(deps),
  listImages: listImages(deps),
  pullImage: pullImage(deps),
  removeImage: removeImage(deps),
  streamImages: streamImages(deps),
})
