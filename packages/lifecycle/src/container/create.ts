import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { nowNs } from '@coracle/base/clock'
import { CodedError, failed, invalid, notFound, precondition } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { type ContainerId, newContainerId, quote } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { noteSubject } from '@coracle/base/stages'
import {
  checkSandboxedContainer,
  createSpec,
  resolveStopSignal,
  stopSignalWarning,
  validateContainerConfig,
} from '@coracle/container-spec'
import type { ContainerConfig } from '@coracle/cri-api'
import type { Image } from '@coracle/image'
import { reuse, undoUnlessClaimed } from '../claim.ts'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { type Container, containerKey } from '../model/container.ts'
import { isReady, type Pod } from '../model/pod.ts'
import { claimPod } from '../pod/run.ts'
import type { Services } from '../services.ts'
import { cloneMounts, letClonesGo, tellSources, withoutClones } from './cloned-mounts.ts'
import { watchContainer } from './exit.ts'
import { gatherInput } from './gather.ts'
import { HeldSources } from './held-sources.ts'
import { removeContainer, teardownContainer } from './remove.ts'

const log = logger('lifecycle')

export interface CreateContainerRequest {
  readonly podId: string
  readonly config: ContainerConfig
  readonly fingerprint: string
}

/** Makes a container in a ready pod, up to the moment before its program starts. The work goes on when the caller leaves; the same request again joins it. */
export async function createContainer(
  services: Services,
  request: CreateContainerRequest,
  signal: AbortSignal,
): Promise<ContainerId> {
  const pod = services.pods.get(request.podId)
  requireReady(pod)
  validateContainerConfig(request.config, pod.config)
  const runtime = runtimeOf(services, pod)
  if (runtime.sandboxed) checkSandboxedContainer(request.config, runtime.handler)
  claimPod(services, pod.id)
  const key = containerKey(pod.id, request.config)
  const id = await services.containerFlights.join(
    `${key}\n${request.fingerprint}`,
    signal,
    () => makeContainer(services, pod, request),
    'continue',
  )
  claimContainer(services, id)
  return id
}

/** Notes that a caller knows the container. */
export function claimContainer(services: Services, id: ContainerId): void {
  const container = services.containers.find(id)
  if (container !== undefined && !container.claimed) services.containers.put({ ...container, claimed: true })
}

export function requireReady(pod: Pod): void {
  if (!isReady(pod)) throw precondition(`pod sandbox ${pod.id} is not ready`)
}

async function makeContainer(services: Services, pod: Pod, request: CreateContainerRequest): Promise<ContainerId> {
  const { config, fingerprint } = request
  const key = containerKey(pod.id, config)
  const title = `container ${quote(config.metadata?.name ?? '')} in pod sandbox ${pod.id}`
  await clearBroken(services, key)
  const existing = reuse(services.containers.findByKey(key), fingerprint, title)
  if (existing !== undefined) return existing.id
  const image = requireImage(services, config)
  const logPath = logPathOf(pod, config)
  const id = newContainerId()
  noteSubject({ containerId: id, container: config.metadata?.name ?? '', podId: pod.id })
  // The record comes in the same turn as the look for an existing one: two requests with one key must not pass each other.
  services.containers.put({
    id,
    podId: pod.id,
    key,
    config,
    imageId: image.id,
    imageRef: image.digests[0] ?? image.id,
    runtime: pod.runtime,
    createdAt: nowNs(),
    logPath,
    resources: config.linux?.resources,
    made: undefined,
    state: { kind: 'creating' },
    claimed: false,
    fingerprint,
  })
  using _lock = await services.containerLocks.lock(id, services.shutdown)
  try {
    const container = await buildContainer(services, pod, services.containers.get(id))
    // The pod may have been stopped meanwhile; its stop did not see a container that was still being made.
    requireReady(services.pods.get(pod.id))
    services.containers.put(container)
    await failpoint('container.created')
  } catch (err) {
    await teardownContainer(services, services.containers.get(id), err)
    throw failed(`create ${title}`, err)
  }
  watchContainer(services, services.containers.get(id))
  undoUnlessClaimed({
    afterMs: services.settings.unclaimedMs,
    shutdown: services.shutdown,
    isUnclaimed: () => services.containers.find(id)?.claimed === false,
    undo: () => {
      claimContainer(services, id)
      return removeContainer(services, id)
    },
    title,
  })
  return id
}

/** Half-made, and nobody is making it any more: an earlier try failed and could not be undone then. */
async function clearBroken(services: Services, key: string): Promise<void> {
  const left = services.containers.findByKey(key)
  if (left?.state.kind === 'creating' && !services.containerLocks.isHeld(left.id)) await removeContainer(services, left.id)
}

function requireImage(services: Services, config: ContainerConfig): Image {
  const name = config.image?.image ?? ''
  if (name === '') throw invalid('config.image.image must not be empty')
  const image = services.images.find(name)
  if (image === undefined) throw notFound(`image ${quote(name)} is not present: pull it first`)
  return image
}

function logPathOf(pod: Pod, config: ContainerConfig): string | undefined {
  if (pod.config.logDirectory === '' || config.logPath === '') return undefined
  // The log directory is the caller's, and may be a link; what is below it must not lead elsewhere (CVE-2025-0750).
  const parts = config.logPath.split('/')
  for (let depth = 1; depth < parts.length; depth++) {
    const directory = join(pod.config.logDirectory, ...parts.slice(0, depth))
    if (lstatSync(directory, { throwIfNoEntry: false })?.isSymbolicLink()) {
      throw invalid(`config.log_path ${quote(config.logPath)} goes through a symbolic link: ${directory}`)
    }
  }
  return join(pod.config.logDirectory, config.logPath)
}

async function buildContainer(services: Services, pod: Pod, container: Container): Promise<Container> {
  const paths = containerPaths(services.settings, container.id)
  await failpoint('container.wanted')
  using held = new HeldSources()
  const { input, image, imageVolumes } = await gatherInput(services, pod, { container, held })
  await failpoint('container.rootfs')
  const { spec, user, warnings, mustBeDirectories } = createSpec(input)
  for (const path of mustBeDirectories) requireDirectory(input.rootfsPath, path)
  for (const warning of warnings) log.warn(warning, { containerId: container.id })
  const stopSignal = resolveStopSignal(container.config, image.config.stopSignal)
  const doubt = stopSignalWarning(image.config.stopSignal)
  if (doubt !== undefined) log.warn(doubt, { containerId: container.id })
  const made = { process: spec.process, user, cgroupsPath: spec.linux.cgroupsPath, stopSignal, imageVolumes }
  try {
    const runtime = runtimeOf(services, pod)
    const cloned = await cloneMounts(services, { paths, pod: input.pod, spec, held, losesSubmounts: runtime.losesSubmounts })
    const { pid, monitorPid } = await runtime.create(
      {
        paths,
        spec: cloned,
        logPath: container.logPath,
        stdin: container.config.stdin,
        stdinOnce: container.config.stdinOnce,
        terminal: container.config.tty,
        monitorCgroup: services.settings.monitorCgroup,
      },
      services.shutdown,
    )
    if (cloned !== spec) tellSources(paths, spec)
    await failpoint('container.runtime-created')
    return { ...container, made, state: { kind: 'created', pid, monitorPid, failure: undefined } }
  } catch (err) {
    // What the OCI runtime refuses is told at the start, as a container that ended with StartError: kubelet shows that to the user,
    // while a failing CreateContainer leaves nothing to look at.
    if (!(err instanceof CodedError) || err.name !== 'OciRuntimeError') throw err
    log.info('runtime refused the container', { containerId: container.id, error: err })
    return {
      ...container,
      made,
      state: { kind: 'created', pid: 0, monitorPid: 0, failure: withoutClones(err.message, paths, spec) },
    }
  } finally {
    letClonesGo(services, paths)
  }
}

/** An image may ship /dev, /proc or /sys as a link; runtimes have followed it to the host (CVE-2026-41579, CVE-2019-19921). */
function requireDirectory(rootfs: string, path: string): void {
  const info = lstatSync(join(rootfs, path), { throwIfNoEntry: false })
  if (info !== undefined && !info.isDirectory()) throw invalid(`the image's ${path} must be a directory`)
}
