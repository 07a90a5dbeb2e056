import { nowNs } from '@coracle/base/clock'
import { CodedError, explain, precondition } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import type { ContainerId } from '@coracle/base/ids'
import { abortable } from '@coracle/base/signals'
import { noteSubject } from '@coracle/base/stages'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { type CreatedContainer, isCreated } from '../model/container.ts'
import type { Services } from '../services.ts'
import { claimContainer, requireReady } from './create.ts'
import { cleanUpAfterExit, forgetWatch, startsInFlight } from './exit.ts'

/** Exit code of a container whose program could not be started, as the peers report it. */
const startErrorCode = 128

/**
 * Starts the program of a created container. Throws `failed_precondition` in any other state, and when the OCI runtime could not
 * start it: the container is then exited with reason StartError. Goes on when the caller leaves; a retry meanwhile joins it.
 */
export async function startContainer(services: Services, id: string, signal: AbortSignal): Promise<void> {
  const found = services.containers.get(id)
  claimContainer(services, found.id)
  await services.startFlights.join(found.id, signal, (work) => startOnce(services, found.id, work), 'continue')
}

async function startOnce(services: Services, id: ContainerId, signal: AbortSignal): Promise<void> {
  noteSubject({ containerId: id })
  using _lock = await services.containerLocks.lock(id, signal)
  const container = services.containers.get(id)
  if (!isCreated(container)) {
    throw precondition(`container ${container.id} is ${container.state.kind}: only a created container can be started`)
  }
  requireReady(services.pods.get(container.podId))
  await startCreated(services, container)
}

/** Cut off when the container is known to have ended. */
async function runStart(services: Services, container: CreatedContainer): Promise<void> {
  const ended = new AbortController()
  startsInFlight.set(container.id, ended)
  const signal = AbortSignal.any([services.shutdown, ended.signal])
  try {
    const paths = containerPaths(services.settings, container.id)
    await abortable(runtimeOf(services, container).start(paths, signal), signal)
  } finally {
    startsInFlight.delete(container.id)
  }
}

/** Now, but not before the container was made: the clock may have been set back. */
function startTime({ createdAt }: CreatedContainer): bigint {
  const now = nowNs()
  return now > createdAt ? now : createdAt
}

async function startCreated(services: Services, container: CreatedContainer): Promise<void> {
  const { id, state } = container
  try {
    if (state.failure !== undefined) throw precondition(state.failure)
    await failpoint('container.start')
    await runStart(services, container)
    await failpoint('container.runtime-started')
  } catch (err) {
    const now = startTime(container)
    const exited = services.containers.put({
      ...container,
      state: {
        kind: 'exited',
        startedAt: now,
        finishedAt: now,
        exitCode: startErrorCode,
        reason: 'StartError',
        message: explain(err),
      },
    })
    forgetWatch(services, id)
    cleanUpAfterExit(services, exited)
    throw new CodedError('failed_precondition', `start container ${id}`, { cause: err })
  }
  services.containers.put({
    ...container,
    state: { kind: 'running', pid: state.pid, monitorPid: state.monitorPid, startedAt: startTime(container) },
  })
  await failpoint('container.started')
}
