import { createCgroups } from './cgroup/cgroups.ts'
import type { Host } from './host.ts'
import { createIsolation } from './isolation/isolation.ts'
import { createMounts } from './mounts.ts'
import { createNamespacePins } from './namespaces.ts'
import { createPaths } from './paths.ts'
import { createProcesses } from './processes.ts'
import { createSockets } from './socket/sockets.ts'
import { createStats } from './stats/stats.ts'

export interface HostOptions {
  /** Where the cgroup hierarchies are mounted. Default /sys/fs/cgroup. */
  readonly cgroupRoot?: string
}

/** The one way to the kernel. Cheap: nothing is loaded or looked at before it is needed. */
export function createHost(options: HostOptions = {}): Host {
  return {
    mounts: createMounts(),
    namespaces: createNamespacePins(),
    cgroups: createCgroups(options.cgroupRoot),
    paths: createPaths(),
    processes: createProcesses(),
    sockets: createSockets(),
    stats: createStats(options.cgroupRoot),
    isolation: createIsolation(options),
  }
}
