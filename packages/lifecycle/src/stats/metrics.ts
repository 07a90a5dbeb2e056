// What metrics tell beyond the stats: a second, longer look at every container.
import { setImmediate } from 'node:timers/promises'
import type { CgroupDetails, FileSystemSize, ProcessCounts } from '@coracle/host'
import type { Services } from '../services.ts'
import { containerCgroup, podCgroup } from './cgroups.ts'
import type { ContainerUse, PodUse } from './stats.ts'

export interface ContainerMetrics {
  readonly use: ContainerUse
  readonly cgroup: string
  readonly details: CgroupDetails
  readonly counts: ProcessCounts
  /** Of the container's init. */
  readonly openFilesLimit: number | undefined
  readonly fileSystem: FileSystemSize
}

export interface PodMetrics {
  readonly use: PodUse
  readonly cgroup: string
  readonly containers: readonly ContainerMetrics[]
}

/** One pod after the other, so that nobody waits for all of them. A container without a cgroup is left out. */
export async function* podMetrics(
  services: Pick<Services, 'host' | 'facts'>,
  pods: readonly PodUse[],
): AsyncGenerator<PodMetrics> {
  const sizes = new Map<string, FileSystemSize>()
  const { stats } = services.host
  const sizeOf = (path: string): FileSystemSize => {
    const size = sizes.get(path) ?? stats.fileSystem(path)
    sizes.set(path, size)
    return size
  }
  for (const use of pods) {
    await setImmediate()
    const containers: ContainerMetrics[] = []
    for (const container of use.containers) {
      const cgroup = containerCgroup(services, container.container)
      if (cgroup === undefined || container.usage === undefined) continue
      const { state } = container.container
      containers.push({
        use: container,
        cgroup,
        details: stats.details(cgroup),
        counts: await stats.processCounts(cgroup),
        openFilesLimit: state.kind === 'running' ? stats.openFilesLimit(state.pid) : undefined,
        fileSystem: sizeOf(container.fileSystem),
      })
    }
    yield { use, cgroup: podCgroup(services, use.pod), containers }
  }
}
