import { explain } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { logger } from '@coracle/base/log'
import { stage } from '@coracle/base/stages'
import { killContainers } from '../container/stop.ts'
import { runtimeOf } from '../handlers.ts'
import { podLayout } from '../layout.ts'
import { type Held, nothingHeld, type Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { removeOwnScope, removeParent } from './cgroup.ts'
import { attachmentOf } from './network.ts'

const log = logger('lifecycle')

/**
 * Undoes from the record what a pod holds, except its directory: containers, init, network, namespaces, shared memory, cgroup.
 * Idempotent; the only such code: stop, remove, rollback and recovery all come here. Takes no caller's signal: each step has its
 * own deadline. Throws when something would not go; the record then still says so.
 */
export async function releasePod(services: Services, id: string): Promise<Pod> {
  let pod = services.pods.get(id)
  const layout = podLayout(services.settings, pod.id)
  const released = (what: Partial<Held>) => {
    pod = services.pods.put({ ...services.pods.get(id), held: { ...pod.held, ...what } })
  }
  await killContainers(services, pod.id)
  if (pod.held.infra) {
    await runtimeOf(services, pod).delete(layout.infra)
    released({ infra: false })
  }
  await failpoint('pod.release.network')
  if (pod.held.network) {
    await services.cni.del(attachmentOf(services, pod))
    released({ network: false })
  }
  await failpoint('pod.release.local')
  if (pod.held.namespaces || pod.held.shm) {
    await stage(['unmount', 'namespaces and shared memory'], async () => {
      await services.host.namespaces.unpin(layout.namespaces)
      if (pod.held.shm) await services.host.mounts.unmount(layout.shm)
    })
    released({ namespaces: false, shm: false })
  }
  await removeOwnScope(services, pod)
  if (pod.held.cgroup) {
    await stage(['remove cgroup', pod.cgroupParent], () => removeParent(services, pod))
    released({ cgroup: false })
  }
  return pod
}

/** Removes directory and record of a pod that holds nothing else any more. */
export async function forgetPod(services: Services, pod: Pod): Promise<void> {
  const { directory } = podLayout(services.settings, pod.id)
  await stage(['remove files', directory], () => services.host.paths.removeTree(directory))
  await failpoint('pod.forget')
  services.pods.delete(pod.id)
}

/** Rollback and recovery: release and forget. When something would not go the record stays, as `unknown`, so that a later remove can retry. */
export async function teardownPod(services: Services, pod: Pod, cause: unknown): Promise<void> {
  try {
    await forgetPod(services, await releasePod(services, pod.id))
  } catch (err) {
    const reason = `${explain(cause)}; undoing it failed: ${explain(err)}`
    log.error('pod could not be undone', { podId: pod.id, reason })
    const left = services.pods.find(pod.id)
    if (left !== undefined) services.pods.put({ ...left, state: { kind: 'unknown', reason } })
  }
}

/** After a reboot: everything in the state directory and the kernel is gone, except what network plugins keep on disk. */
export function rebootedPod(pod: Pod): Pod {
  return {
    ...pod,
    state: { kind: 'notReady' },
    held: { ...nothingHeld, directory: true, network: pod.held.network },
    infraPid: undefined,
  }
}
