// Whether the kernel's OOM killer ended a process of a container.
import { existsSync } from 'node:fs'
import type { RuntimeContext } from './context.ts'
import { filesOf } from './files.ts'
import type { ContainerPaths } from './oci-runtime.ts'
import type { ContainerRecord } from './record.ts'

/**
 * The kernel's own count is exact, also for a killed child, so it wins while the cgroup exists. The monitor's file is the witness
 * when it is gone (systemd removes an empty scope): on cgroup v1 it is also made when only the pod's cgroup ran out of memory.
 */
export function wasOomKilled(ctx: RuntimeContext, paths: ContainerPaths, record: ContainerRecord | undefined): boolean {
  const { cgroups } = ctx.deps
  const cgroup = record?.cgroup
  if (cgroup !== undefined && cgroups.exists(cgroup)) return cgroups.oomKills(cgroup) > 0
  return existsSync(filesOf(paths).oom)
}
