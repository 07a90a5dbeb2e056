// The linux.cgroupsPath of a container: always below the pod's own cgroup (CVE-2025-47291).
import type { HostFacts } from './spec-input.ts'

/** `/parent/ID` for cgroupfs; `slice:coracle:ID` for systemd, as runc and crun read it. */
export function cgroupsPath(parent: string, id: string, driver: HostFacts['cgroupDriver']): string {
  if (driver === 'systemd') return `${parent.slice(parent.lastIndexOf('/') + 1)}:coracle:${id}`
  return `/${parent.split('/').filter(Boolean).join('/')}/${id}`.replace('//', '/')
}
