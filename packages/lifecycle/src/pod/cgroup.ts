import { invalid } from '@coracle/base/errors'
import type { PodId } from '@coracle/base/ids'
import { quote } from '@coracle/base/ids'
import type { PodSandboxConfig } from '@coracle/cri-api'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'

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
}

/** Removes the parent when it was made for this pod and no other pod lives at or below it. */
export async function removeParent(services: Services, pod: Pod): Promise<void> {
  if (services.facts.cgroupDriver !== 'cgroupfs') return
  for (const other of services.pods.all()) {
    if (other.id !== pod.id && other.held.directory && `${other.cgroupParent}/`.startsWith(`${pod.cgroupParent}/`)) return
  }
  await services.host.cgroups.remove(pod.cgroupParent)
}
