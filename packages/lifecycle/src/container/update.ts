import { CodedError, failed, precondition } from '@coracle/base/errors'
import type { ContainerId } from '@coracle/base/ids'
import { stage } from '@coracle/base/stages'
import { mergeResources, toLinuxResources } from '@coracle/container-spec'
import type { LinuxContainerResources } from '@coracle/cri-api'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { isCreated, isRunning } from '../model/container.ts'
import type { Services } from '../services.ts'
import { endedMeanwhile } from './ended.ts'
import { setOomScore } from './oom-score.ts'

/**
 * Changes the resources of a created or running container in place: only the fields that are set, all or none.
 * Throws `failed_precondition` in other states, and with the runtime's words when the kernel refuses.
 */
export async function updateContainer(
  services: Services,
  request: { readonly id: string; readonly resources: LinuxContainerResources },
  signal: AbortSignal,
): Promise<void> {
  const found = services.containers.get(request.id)
  await stage(['update container', ''], () => updateLocked(services, { ...request, id: found.id }, signal))
}

async function updateLocked(
  services: Services,
  request: { readonly id: ContainerId; readonly resources: LinuxContainerResources },
  signal: AbortSignal,
): Promise<void> {
  using _lock = await services.containerLocks.lock(request.id, signal)
  const container = services.containers.get(request.id)
  if (!isCreated(container) && !isRunning(container)) {
    throw precondition(`container ${container.id} is ${container.state.kind}: only a created or running container can be updated`)
  }
  const merged = mergeResources(container.resources, request.resources)
  const resources = toLinuxResources(merged, services.facts)
  let changed = container
  try {
    if (!(isCreated(container) && container.state.failure !== undefined)) {
      changed = setOomScore(services, container, merged)
      await runtimeOf(services, container).update(containerPaths(services.settings, container.id), resources, services.shutdown)
    }
  } catch (err) {
    setOomScore(services, changed, container.resources)
    const title = `update container ${container.id}`
    if (await endedMeanwhile(services, container))
      throw new CodedError('failed_precondition', `${title}: the container has ended`, { cause: err })
    throw failed(title, err)
  }
  services.containers.put({ ...services.containers.get(container.id), made: changed.made, resources: merged })
}
