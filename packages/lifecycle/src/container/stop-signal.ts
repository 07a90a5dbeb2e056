import { delay } from '@coracle/base/signals'
import { stopSignalEnum } from '@coracle/container-spec'
import type { Signal } from '@coracle/cri-api'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import type { Container, RunningContainer } from '../model/container.ts'
import type { Services } from '../services.ts'

const pollMs = 20

/** For ContainerStatus.stop_signal (KEP-4960): the request's, else the image's, else the default. */
export const stopSignalInEffect = ({ config, made }: Container): Signal =>
  made === undefined || config.stopSignal !== 0 ? config.stopSignal : stopSignalEnum(made.stopSignal)

/**
 * Sends the stop signal once, when it can have an effect. The kernel drops a signal to the first process of a PID namespace that has
 * no handler for it (pid_namespaces(7)), so a program stopped while it is still starting would never hear of it and sit out the grace:
 * then we wait until it has a handler. Returns when the signal was sent or `over` says that there is nothing to wait for any more.
 */
export async function sendStopSignal(services: Services, container: RunningContainer, over: () => boolean): Promise<void> {
  const { pid } = container.state
  const signal = container.made.stopSignal
  while (!over() && !services.host.processes.receives(pid, signal)) await delay(pollMs)
  if (!over()) await runtimeOf(services, container).kill(containerPaths(services.settings, container.id), signal, false)
}
