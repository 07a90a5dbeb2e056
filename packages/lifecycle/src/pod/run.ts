import { hostname as osHostname } from 'node:os'
import { join } from 'node:path'
import { nowNs } from '@coracle/base/clock'
import { CodedError, failed } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { newPodId, type PodId } from '@coracle/base/ids'
import { cleanupSignal } from '@coracle/base/signals'
import { noteSubject } from '@coracle/base/stages'
import {
  checkSandboxedPod,
  checkSysctls,
  defaultSysctls,
  podHostname,
  podMappings,
  splitSysctls,
  validatePodConfig,
} from '@coracle/container-spec'
import type { PodSandboxConfig } from '@coracle/cri-api'
import { reuse, undoUnlessClaimed } from '../claim.ts'
import { runtimeFor, runtimeOf } from '../handlers.ts'
import { podLayout } from '../layout.ts'
import { isHostIpc, isHostNetwork, nothingHeld, type Pod, podKey, podTitle, sharesPid } from '../model/pod.ts'
import { levelFor } from '../selinux/labels.ts'
import type { Services } from '../services.ts'
import { cgroupParentOf, ensureParent } from './cgroup.ts'
import { makePodFiles, writeHostsFile } from './files.ts'
import { startInfra } from './infra.ts'
import { attachmentOf, checkNetworkConfig } from './network.ts'
import { teardownPod } from './release.ts'
import { removePod } from './remove.ts'
import { checkUserNamespace } from './user-namespace.ts'

export interface RunPodRequest {
  readonly config: PodSandboxConfig
  /** `""`: the default one. */
  readonly handler: string
  readonly fingerprint: string
}

/**
 * Makes a pod ready: namespaces, network, files, its own init where it shares a PID namespace. The work goes on when the caller
 * leaves; the same request again joins it or gets its result.
 */
export async function runPod(services: Services, request: RunPodRequest, signal: AbortSignal): Promise<PodId> {
  validatePodConfig(request.config)
  if (!isHostNetwork(request.config)) checkNetworkConfig(request.config)
  const runtime = runtimeFor(services, request.handler)
  if (runtime.sandboxed) checkSandboxedPod(request.config, runtime.handler)
  checkUserNamespace(services, request.config, runtime.handler)
  const flight = `${podKey(request.config)}\n${request.fingerprint}`
  const id = await services.podFlights.join(flight, signal, () => makePod(services, request), 'continue')
  claimPod(services, id)
  return id
}

/** Notes that a caller knows the pod. */
export function claimPod(services: Services, id: PodId): void {
  const pod = services.pods.find(id)
  if (pod !== undefined && !pod.claimed) services.pods.put({ ...pod, claimed: true })
}

async function makePod(services: Services, request: RunPodRequest): Promise<PodId> {
  const { config, handler, fingerprint } = request
  const title = `pod sandbox ${podTitle(config)}`
  noteSubject({ pod: podTitle(config) })
  await clearBroken(services, request)
  const existing = reuse(services.pods.findByKey(podKey(config)), fingerprint, title)
  if (existing !== undefined) return existing.id
  const id = newPodId()
  noteSubject({ podId: id })
  const { parent, ours } = cgroupParentOf(services, config, id)
  // The record comes in the same turn: no two pods get one level.
  const level = levelFor(services, config)
  let pod = services.pods.put({
    id,
    key: podKey(config),
    config,
    handler,
    runtime: runtimeFor(services, handler).handler,
    createdAt: nowNs(),
    state: { kind: 'creating' },
    held: {
      ...nothingHeld,
      directory: true,
      namespaces: true,
      shm: !isHostIpc(config),
      cgroup: ours || !services.host.cgroups.exists(parent),
    },
    cgroupParent: parent,
    ...(level === undefined ? {} : { selinuxLevel: level }),
    infraPid: undefined,
    network: undefined,
    overhead: config.linux?.overhead,
    resources: config.linux?.resources,
    claimed: false,
    fingerprint,
  })
  try {
    pod = await buildPod(services, pod)
  } catch (err) {
    await teardownPod(services, services.pods.get(id), err)
    throw failed(`run ${title}`, err)
  }
  undoUnlessClaimed({
    afterMs: services.settings.unclaimedMs,
    shutdown: services.shutdown,
    isUnclaimed: () => services.pods.find(id)?.claimed === false,
    undo: () => {
      claimPod(services, id)
      return removePod(services, id)
    },
    title,
  })
  return pod.id
}

/** What an earlier try of the same request left, because it could not be undone then, is no answer to the next try. */
async function clearBroken(services: Services, { config, fingerprint }: RunPodRequest): Promise<void> {
  const left = services.pods.findByKey(podKey(config))
  if (left === undefined || left.claimed || left.fingerprint !== fingerprint) return
  if (left.state.kind === 'creating' && services.podLocks.isHeld(left.id)) {
    // Recovery is undoing it.
    using _lock = await services.podLocks.lock(left.id, cleanupSignal(120_000))
    return
  }
  if (left.state.kind === 'unknown' || left.state.kind === 'notReady') await removePod(services, left.id)
}

async function buildPod(services: Services, created: Pod): Promise<Pod> {
  let pod = created
  const { config } = pod
  const layout = podLayout(services.settings, pod.id)
  await failpoint('pod.local.wanted')
  const hostNetwork = isHostNetwork(config)
  const hostname = podHostname(config, osHostname())
  const own = { network: !hostNetwork, ipc: !isHostIpc(config), uts: !hostNetwork }
  const sysctls = splitSysctls({ ...defaultSysctls(own), ...checkSysctls(config.linux?.sysctls ?? {}, own) })
  const userMappings = podMappings(config)
  makePodFiles(services, pod, hostname)
  ensureParent(services, pod)
  services.host.namespaces.pin({
    directory: layout.namespaces,
    kinds: [...(hostNetwork ? [] : (['net', 'uts'] as const)), ...(isHostIpc(config) ? [] : (['ipc'] as const))],
    ...(hostNetwork ? {} : { hostname }),
    sysctls: sysctls.atOnce,
    ...(userMappings === undefined ? {} : { userMappings }),
  })
  await failpoint('pod.local.held')
  if (!hostNetwork) {
    pod = services.pods.put({ ...pod, held: { ...pod.held, network: true } })
    await failpoint('pod.network.wanted')
    const network = await services.cni.add(attachmentOf(services, pod), services.shutdown)
    pod = { ...pod, network }
    services.host.namespaces.setSysctls(join(layout.namespaces, 'net'), sysctls.ofInterfaces)
    await failpoint('pod.network.held')
  }
  writeHostsFile(services, pod, hostname)
  // There nobody can join the processes of another, and one who wishes so was refused.
  if (sharesPid(config) && !runtimeOf(services, pod).sandboxed) {
    pod = services.pods.put({ ...pod, held: { ...pod.held, infra: true } })
    await failpoint('pod.infra.wanted')
    pod = { ...pod, infraPid: await startInfra(services, pod) }
    await failpoint('pod.infra.held')
  }
  // Its end is told to pods that are ready; this one is not yet.
  const gone = pod.held.infra ? runtimeOf(services, pod).readExit(layout.infra) : undefined
  if (gone !== undefined) throw new CodedError('unavailable', `the pod's init ended at once with exit code ${gone.exitCode}`)
  pod = services.pods.put({ ...pod, state: { kind: 'ready' } })
  await failpoint('pod.ready')
  return pod
}

/** Whether what makes a ready pod usable is still there. */
export function isPodIntact(services: Services, pod: Pod): boolean {
  const { namespaces, infra } = podLayout(services.settings, pod.id)
  if (!isHostNetwork(pod.config) && !services.host.namespaces.isPinned(namespaces, 'net')) return false
  if (!isHostIpc(pod.config) && !services.host.namespaces.isPinned(namespaces, 'ipc')) return false
  if (podMappings(pod.config) !== undefined && !services.host.namespaces.isPinned(namespaces, 'user')) return false
  return !pod.held.infra || runtimeOf(services, pod).inspect(infra).pid !== undefined
}
