import { precondition } from '@coracle/base/errors'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { isRunning } from '../model/container.ts'
import type { Services } from '../services.ts'

/** Makes the log anew at its path after the caller renamed it; resolves when the new file exists. Running containers only. */
export async function reopenContainerLog(services: Services, id: string, signal: AbortSignal): Promise<void> {
  const container = services.containers.get(id)
  if (!isRunning(container)) throw precondition(`container ${container.id} is not running`)
  if (container.logPath === undefined) throw precondition(`container ${container.id} has no log`)
  await runtimeOf(services, container).reopenLog(containerPaths(services.settings, container.id), signal)
}
