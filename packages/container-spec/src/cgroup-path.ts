// The linux.cgroupsPath of a container: always below the pod's own cgroup (CVE-2025-47291).
import type { HostFacts } from './spec-input.ts'

/** What cgroups of containers are called, unless somebody looks for another name. */
export const ownScopePrefix = 'coracle'

/**
 * `slice:PREFIX:ID` for systemd, as runc and crun read it: the scope `PREFIX-ID.scope`. For cgroupfs `/parent/ID`, or
 * `/parent/PREFIX-ID` with another prefix than our own.
 */
export function cgroupsPath(parent: string, id: string, host: Pick<HostFacts, 'cgroupDriver' | 'scopePrefix'>): string {
  const { cgroupDriver, scopePrefix = ownScopePrefix } = host
  if (cgroupDriver === 'systemd') return `${parent.slice(parent.lastIndexOf('/') + 1)}:${scopePrefix}:${id}`
  const name = scopePrefix === ownScopePrefix ? id : `${scopePrefix}-${id}`
  return `/${parent.split('/').filter(Boolean).join('/')}/${name}`.replace('//', '/')
}
