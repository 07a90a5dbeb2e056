// What a start does before it serves: makes the records true again, and undoes from them what was half-made.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { nowNs } from '@coracle/base/clock'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { delay } from '@coracle/base/signals'
import { removeClones } from './container/cloned-mounts.ts'
import { cleanUpAfterExit, watchContainer } from './container/exit.ts'
import { removeContainer, teardownContainer } from './container/remove.ts'
import { isConfigured, runtimeOf } from './handlers.ts'
import { containerPaths } from './layout.ts'
import { type Container, exitedState, isCreated, isLive } from './model/container.ts'
import type { Pod } from './model/pod.ts'
import { watchInfra } from './pod/infra.ts'
import { attachmentOf } from './pod/network.ts'
import { rebootedPod, releasePod, teardownPod } from './pod/release.ts'
import { isPodIntact } from './pod/run.ts'
import type { Services } from './services.ts'
import { sweep } from './sweep.ts'

const log = logger('lifecycle')

/** Exit code of a container whose true one is lost, as the peers report it. */
const lostExitCode = 255

/** How long a start waits for what was half-made to be undone; it goes on in the background. */
const defaultUndoPatienceMs = 5000
/** Ended containers whose cleanup is repeated at once. */
const cleanUpsAtOnce = 8

/**
 * Brings records and machine together after a restart of the daemon or of the machine. A broken object never stops the start: it
 * is logged and left for removal. Network plugins are not waited for: what they still have to undo is retried in the background.
 */
export async function recover(services: Services, undoPatienceMs = defaultUndoPatienceMs): Promise<void> {
  const marker = join(services.settings.stateDirectory, 'boot-id')
  const boot = services.host.processes.bootId()
  const rebooted = !existsSync(marker) || readFileSync(marker, 'utf8') !== boot
  const ended: Container[] = []
  for (const container of [...services.containers.all()]) {
    await guarded('container', container.id, async () => {
      const now = await recoverContainer(services, container, rebooted)
      if (now?.state.kind === 'exited') ended.push(now)
    })
  }
  const undone: Promise<void>[] = []
  for (const pod of [...services.pods.all()]) {
    if (pod.state.kind === 'creating') undone.push(guarded('pod', pod.id, () => undoPod(services, pod, rebooted)))
    else await guarded('pod', pod.id, () => recoverPod(services, pod, rebooted))
  }
  await Promise.race([Promise.all(undone), delay(undoPatienceMs, services.shutdown)])
  await guarded('sweep', services.settings.stateDirectory, () => sweep(services))
  if (rebooted) writeFileAtomic(marker, boot)
  void cleanUp(services, ended)
  void retryReleases(services)
  void collectNetworks(services)
}

async function guarded(what: string, id: string, work: () => Promise<void> | void): Promise<void> {
  try {
    await work()
  } catch (err) {
    log.error('recovery failed', { what, id, error: explain(err) })
  }
}

/** Returns the container as it is now; undefined when it was removed. */
async function recoverContainer(services: Services, container: Container, rebooted: boolean): Promise<Container | undefined> {
  if (container.state.kind === 'creating') {
    await teardownContainer(services, container, 'the daemon ended while it was made')
    return undefined
  }
  if (services.pods.find(container.podId) === undefined) {
    log.error('a container has lost its pod; removing it', { containerId: container.id, podId: container.podId })
    await removeContainer(services, container.id)
    return undefined
  }
  const paths = containerPaths(services.settings, container.id)
  await guarded('clones', container.id, () => removeClones(services, paths))
  if (!isLive(container)) return container
  const runtime = runtimeOf(services, container)
  if (rebooted) {
    const state = exitedState(container, { exitCode: lostExitCode, finishedAt: nowNs(), oomKilled: false })
    return services.containers.put({ ...container, state: { ...state, message: 'the machine was restarted' } })
  }
  let live = container
  await guarded('state', container.id, async () => {
    if (!isCreated(container) || container.state.failure !== undefined || !(await runtime.isStarted(paths))) return
    // The daemon ended between the start and its record.
    const { pid, monitorPid } = container.state
    live = services.containers.put({ ...container, state: { kind: 'running', pid, monitorPid, startedAt: nowNs() } })
  })
  const exit = runtime.readExit(paths)
  if (exit !== undefined) return services.containers.put({ ...live, state: exitedState(live, exit) })
  await guarded('execs', container.id, () => runtime.sweepExecs(paths))
  watchContainer(services, live)
  return live
}

/** Repeats, a few at a time, what follows an exit: the daemon may have ended in the middle of it. */
async function cleanUp(services: Services, ended: readonly Container[]): Promise<void> {
  const left = [...ended]
  const work = async () => {
    for (let next = left.pop(); next !== undefined && !services.shutdown.aborted; next = left.pop()) {
      if (services.containers.find(next.id) === undefined) continue
      cleanUpAfterExit(services, next)
      await services.afterExit.get(next.id)
    }
  }
  await Promise.all(Array.from({ length: cleanUpsAtOnce }, work))
}

/** A pod that was half-made. Holds its lock, so that a retry of the same request can wait for it. */
async function undoPod(services: Services, pod: Pod, rebooted: boolean): Promise<void> {
  using _lock = await services.podLocks.lock(pod.id, services.shutdown)
  const left = rebooted ? services.pods.put({ ...rebootedPod(pod), state: pod.state }) : pod
  await teardownPod(services, left, 'the daemon ended while it was made')
}

function recoverPod(services: Services, pod: Pod, rebooted: boolean): void {
  if (rebooted) services.pods.put(rebootedPod(pod))
  else if (pod.state.kind !== 'ready') return
  else if (!isConfigured(services, pod)) {
    log.warn('the runtime handler of a pod is no longer configured', { podId: pod.id, handler: pod.runtime })
    services.pods.put({ ...pod, state: { kind: 'notReady' } })
  } else if (!isPodIntact(services, pod)) services.pods.put({ ...pod, state: { kind: 'notReady' } })
  else if (pod.held.infra) watchInfra(services, pod)
}

/** A pod whose handler is gone runs on: only its kubelet may end it. */
const needsRelease = (services: Services, pod: Pod): boolean =>
  pod.state.kind !== 'ready' &&
  pod.state.kind !== 'creating' &&
  (isConfigured(services, pod) || !pod.held.namespaces) &&
  Object.entries(pod.held).some(([what, held]) => what !== 'directory' && held)

/** Repeats what pods that are no longer ready still hold, with growing pauses, until it is gone. */
export async function retryReleases(services: Services): Promise<void> {
  for (let pause = 1000; !services.shutdown.aborted; pause = Math.min(pause * 2, 60_000)) {
    const left = [...services.pods.all()].filter((pod) => needsRelease(services, pod))
    if (left.length === 0) return
    for (const pod of left) {
      try {
        using _lock = await services.podLocks.lock(pod.id, services.shutdown)
        if (services.pods.find(pod.id) === undefined) continue
        const released = await releasePod(services, pod.id)
        services.pods.put({ ...released, state: { kind: 'notReady' } })
      } catch (err) {
        log.warn('pod still holds something; trying again', { podId: pod.id, pauseMs: pause, error: explain(err) })
      }
    }
    await delay(pause, services.shutdown).catch(() => {})
  }
}

async function collectNetworks(services: Services): Promise<void> {
  try {
    const valid = [...services.pods.all()].filter((pod) => pod.held.network).map((pod) => attachmentOf(services, pod))
    await services.cni.gc(valid, services.shutdown)
  } catch (err) {
    log.warn('network garbage collection failed', { error: explain(err) })
  }
}
