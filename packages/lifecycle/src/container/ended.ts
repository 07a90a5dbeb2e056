import { delay } from '@coracle/base/signals'
import { type Container, isRunning } from '../model/container.ts'
import type { Services } from '../services.ts'

/** A dying first process of a PID namespace still shows for some milliseconds after the kernel refuses to fork into it. */
const settleMs = 500
const pollMs = 25

/**
 * Whether a running container ended while something was done to it: then that is the reason of a failure, and not what the OCI
 * runtime stumbled over.
 */
export async function endedMeanwhile(services: Services, container: Container): Promise<boolean> {
  if (!isRunning(container)) return false
  const { pid } = container.state
  for (let waited = 0; ; waited += pollMs) {
    const now = services.containers.find(container.id)
    if (services.stops.get(container.id)?.isKilling()) return true
    if (now === undefined || !isRunning(now) || services.host.processes.identify(pid) === undefined) return true
    if (waited >= settleMs) return false
    await delay(pollMs)
  }
}
