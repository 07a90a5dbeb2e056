import { precondition } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import type { ContainerId } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { stage } from '@coracle/base/stages'
import type { Exit } from '@coracle/oci-runtime'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { type Container, exitedState, isLive } from '../model/container.ts'
import type { Services } from '../services.ts'
import { unmountImageVolumes } from './image-volumes.ts'

const log = logger('lifecycle')

/** How long a start may take to notice by itself that its container has ended: a short program ends before its start is reported. */
const startPatienceMs = 3000

/** Starts that the OCI runtime is busy with, by container. */
export const startsInFlight = new Map<ContainerId, AbortController>()

/** From now on the container's end is noticed, recorded and cleaned up after. */
export function watchContainer(services: Services, container: Container): void {
  if (!isLive(container) || services.exits.has(container.id)) return
  if (container.state.kind === 'created' && container.state.failure !== undefined) return
  services.exits.set(container.id, Promise.withResolvers<void>())
  runtimeOf(services, container).watchExit(containerPaths(services.settings, container.id), services.shutdown, (exit) => {
    onExit(services, container.id, exit).catch((err: unknown) => {
      // The next start reads the exit again.
      if (services.shutdown.aborted) return
      log.error('recording an exit failed', { containerId: container.id, error: err })
    })
  })
}

async function onExit(services: Services, id: ContainerId, exit: Exit): Promise<void> {
  await failpoint('container.exit')
  // A start in flight holds the lock: its result is recorded first. One whose container was killed under it may wait for ever.
  const cutOff = setTimeout(() => {
    startsInFlight.get(id)?.abort(precondition('the container ended before its program was started'))
  }, startPatienceMs)
  try {
    using _lock = await services.containerLocks.lock(id, services.shutdown)
    recordExit(services, id, exit)
  } finally {
    clearTimeout(cutOff)
  }
}

/** For a caller that holds the container's lock. */
export function recordExit(services: Services, id: ContainerId, exit: Exit): void {
  const container = services.containers.find(id)
  try {
    if (container !== undefined && isLive(container)) {
      const exited = services.containers.put({ ...container, state: exitedState(container, exit) })
      log.info('container exited', { containerId: id, exitCode: exit.exitCode, oomKilled: exit.oomKilled || undefined })
      cleanUpAfterExit(services, exited)
    }
  } finally {
    forgetWatch(services, id)
  }
}

/** Wakes those who wait for the end of a container; nobody will from now on. */
export function forgetWatch(services: Services, id: ContainerId): void {
  services.exits.get(id)?.resolve()
  services.exits.delete(id)
}

/** Gives back what an ended container holds, but for its writable layer. Removal waits for it and repeats what failed. */
export function cleanUpAfterExit(services: Services, container: Container): void {
  const { id } = container
  const cleanUp = async () => {
    try {
      await runtimeOf(services, container).delete(containerPaths(services.settings, id))
      await services.images.unmountRootfs(id)
      await unmountImageVolumes(services, id)
    } catch (err) {
      log.warn('cleaning up after an exit failed; removal will repeat it', { containerId: id, error: err })
    }
  }
  const work = stage(['clean up container', ''], cleanUp, { subject: { containerId: id, podId: container.podId } })
  services.afterExit.set(id, work)
  void work.then(() => {
    if (services.afterExit.get(id) === work) services.afterExit.delete(id)
  })
}
