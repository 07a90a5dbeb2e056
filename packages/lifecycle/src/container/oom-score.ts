// The oom_score_adj of what runs already: OCI runtimes set it only for what they start.
import { logger } from '@coracle/base/log'
import { oomScoreAdj } from '@coracle/container-spec'
import type { LinuxContainerResources } from '@coracle/cri-api'
import type { CreatedContainer, RunningContainer } from '../model/container.ts'
import type { Services } from '../services.ts'

const log = logger('lifecycle')

/** Gives all processes of the container the value that `resources` ask for, as far as we may; returns the container as exec shall see it. */
export function setOomScore<C extends CreatedContainer | RunningContainer>(
  services: Services,
  container: C,
  resources: LinuxContainerResources | undefined,
): C {
  const { value, warnings } = oomScoreAdj(resources, services.facts)
  const { made } = container
  if (made.process.oomScoreAdj === value) return container
  for (const warning of warnings) log.warn(warning, { containerId: container.id })
  for (const pid of processesOf(services, container)) {
    const process = services.host.processes.identify(pid)
    if (process !== undefined) services.host.processes.setOomScoreAdj(process, value)
  }
  return { ...container, made: { ...made, process: { ...made.process, oomScoreAdj: value } } }
}

function processesOf({ host }: Services, { state }: CreatedContainer | RunningContainer): readonly number[] {
  const cgroup = host.cgroups.pathOf(state.pid)
  return cgroup === undefined ? [] : [...new Set([state.pid, ...host.cgroups.processes(cgroup)])]
}
