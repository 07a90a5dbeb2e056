import { invalid } from '@coracle/base/errors'
import type { PodId } from '@coracle/base/ids'
import { quote } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { delay } from '@coracle/base/signals'
import { ownScopePrefix } from '@coracle/container-spec'
import type { PodSandboxConfig } from '@coracle/cri-api'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { infraCgroup } from '../stats/cgroups.ts'

const log = logger('lifecycle')

/** The cgroup that the pod's containers live below: the caller's, or one of our own for this pod (then `ours`). */
export function cgroupParentOf(services: Services, config: PodSandboxConfig, id: PodId): { parent: string; ours: boolean } {
  const asked = config.linux?.cgroupParent ?? ''
  if (services.facts.cgroupDriver === 'systemd') {
    if (asked === '') return { parent: 'coracle.slice', ours: false }
    const slice = asked.slice(asked.lastIndexOf('/') + 1)
    if (!/^[A-Za-z0-9:_.-]+\.slice$/.test(slice)) {
      throw invalid(
        `config.linux.cgroup_parent ${quote(asked)} must be a slice name such as kubepods.slice, since the cgroup driver is systemd`,
      )
    }
    return { parent: slice, ours: false }
  }
  if (asked === '') return { parent: `${services.settings.defaultCgroupParent}/${id}`, ours: true }
  if (/(^|\/)\.\.?(\/|$)/.test(asked) || /[\0\n]/.test(asked)) {
    throw invalid(`config.linux.cgroup_parent ${quote(asked)} must be a clean path without "." or ".." components`)
  }
  return { parent: `/${asked.split('/').filter(Boolean).join('/')}`, ours: false }
}

export function ensureParent(services: Services, pod: Pod): void {
  if (services.facts.cgroupDriver === 'cgroupfs') services.host.cgroups.ensure(pod.cgroupParent)
  if (wantsOwnScope(services)) services.host.cgroups.ensure(infraCgroup(services, pod))
}

/**
 * Whoever looks for foreign names looks for a cgroup of the pod itself, too: cAdvisor counts a pod's network only there
 * (its container `POD`). Without an init in the pod it is empty.
 */
const wantsOwnScope = ({ facts }: Services): boolean => (facts.scopePrefix ?? ownScopePrefix) !== ownScopePrefix

export async function removeOwnScope(services: Services, pod: Pod): Promise<void> {
  const path = infraCgroup(services, pod)
  if (wantsOwnScope(services) && services.host.cgroups.exists(path)) await services.host.cgroups.remove(path)
}

/** Pause between attempts at a cgroup that the kernel still calls busy, and how long they go on. */
const retryMs = 5000
const retries = 60

/**
 * Removes the parent when it was made for this pod and no other pod lives at or below it. A cgroup that stays busy is no reason to
 * fail the caller: it is tried again in the background.
 */
export async function removeParent(services: Services, pod: Pod): Promise<void> {
  if (services.facts.cgroupDriver !== 'cgroupfs') return
  for (const other of services.pods.all()) {
    if (other.id !== pod.id && other.held.directory && `${other.cgroupParent}/`.startsWith(`${pod.cgroupParent}/`)) return
  }
  try {
    await services.host.cgroups.remove(pod.cgroupParent)
  } catch (err) {
    log.warn('cgroup of a pod is busy; trying again', { podId: pod.id, cgroup: pod.cgroupParent, error: err })
    void removeLater(services, pod.cgroupParent)
  }
}

async function removeLater(services: Services, path: string): Promise<void> {
  for (let attempt = 0; attempt < retries; attempt++) {
    try {
      await delay(retryMs, services.shutdown)
      await services.host.cgroups.remove(path)
      return
    } catch {
      if (services.shutdown.aborted) return
    }
  }
  log.error('cgroup of a pod could not be removed', { cgroup: path })
}
