// What a start does before it serves: makes the records true again, and undoes from them what was half-made.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '@coracle/base/atomic-file'
import { nowNs } from '@coracle/base/clock'
import { explain } from '@coracle/base/errors'
import type { ContainerId } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import { delay } from '@coracle/base/signals'
import { cleanUpAfterExit, watchContainer } from './container/exit.ts'
import { ownerOf } from './container/image-volumes.ts'
import { teardownContainer } from './container/remove.ts'
import { runtimeOf } from './handlers.ts'
import { containerPaths, volumesDirectory } from './layout.ts'
import { type Container, exitedState, isCreated, isLive } from './model/container.ts'
import type { Pod } from './model/pod.ts'
import { watchInfra } from './pod/infra.ts'
import { attachmentOf } from './pod/network.ts'
import { rebootedPod, releasePod, teardownPod } from './pod/release.ts'
import { isPodIntact } from './pod/run.ts'
import type { Services } from './services.ts'

const log = logger('lifecycle')

/** Exit code of a container whose true one is lost, as the peers report it. */
const lostExitCode = 255

/**
 * Brings records and machine together after a restart of the daemon or of the machine. A broken object never stops the start: it
 * is logged and left for removal. Network plugins are not waited for: what they still have to undo is retried in the background.
 */
export async function recover(services: Services): Promise<void> {
  const marker = join(services.settings.stateDirectory, 'boot-id')
  const boot = services.host.processes.bootId()
  const rebooted = !existsSync(marker) || readFileSync(marker, 'utf8') !== boot
  for (const container of [...services.containers.all()]) {
    await guarded('container', container.id, () => recoverContainer(services, container, rebooted))
  }
  for (const pod of [...services.pods.all()]) {
    await guarded('pod', pod.id, () => recoverPod(services, pod, rebooted))
  }
  await guarded('sweep', services.settings.stateDirectory, () => sweep(services))
  writeFileAtomic(marker, boot)
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

async function recoverContainer(services: Services, container: Container, rebooted: boolean): Promise<void> {
  if (container.state.kind === 'creating') return teardownContainer(services, container, 'the daemon ended while it was made')
  if (!isLive(container)) return
  const runtime = runtimeOf(services, container)
  const paths = containerPaths(services.settings, container.id)
  if (rebooted) {
    const state = exitedState(container, { exitCode: lostExitCode, finishedAt: nowNs(), oomKilled: false })
    cleanUpAfterExit(
      services,
      services.containers.put({ ...container, state: { ...state, message: 'the machine was restarted' } }),
    )
    return
  }
  let live = container
  if (isCreated(container) && container.state.failure === undefined && (await runtime.isStarted(paths))) {
    // The daemon ended between the start and its record.
    const { pid, monitorPid } = container.state
    live = services.containers.put({ ...container, state: { kind: 'running', pid, monitorPid, startedAt: nowNs() } })
  }
  const exit = runtime.readExit(paths)
  if (exit !== undefined) {
    cleanUpAfterExit(services, services.containers.put({ ...live, state: exitedState(live, exit) }))
    return
  }
  await runtime.sweepExecs(paths)
  watchContainer(services, live)
}

async function recoverPod(services: Services, pod: Pod, rebooted: boolean): Promise<void> {
  if (pod.state.kind === 'creating') {
    const left = rebooted ? services.pods.put({ ...rebootedPod(pod), state: pod.state }) : pod
    return teardownPod(services, left, 'the daemon ended while it was made')
  }
  if (rebooted) services.pods.put(rebootedPod(pod))
  else if (pod.state.kind === 'ready' && !isPodIntact(services, pod)) services.pods.put({ ...pod, state: { kind: 'notReady' } })
  else if (pod.state.kind === 'ready' && pod.held.infra) watchInfra(services, pod)
}

/** Removes what no record knows. */
async function sweep(services: Services): Promise<void> {
  const { images, host, settings } = services
  const known = (id: string) => services.containers.find(id) !== undefined
  for (const key of images.rootfsKeys()) if (!known(ownerOf(key))) await images.removeRootfs(key)
  for (const id of entries(join(settings.rootDirectory, 'volumes'))) {
    if (!known(id)) await host.paths.removeTree(volumesDirectory(settings, id as ContainerId))
  }
  for (const kind of ['pods', 'containers'] as const) {
    for (const id of entries(join(settings.stateDirectory, kind))) {
      if (services[kind].find(id) !== undefined) continue
      const directory = join(settings.stateDirectory, kind, id)
      await host.mounts.unmountBelow(directory)
      await host.paths.removeTree(directory)
    }
  }
}

const entries = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : [])

const needsRelease = (pod: Pod): boolean =>
  pod.state.kind !== 'ready' &&
  pod.state.kind !== 'creating' &&
  Object.entries(pod.held).some(([what, held]) => what !== 'directory' && held)

/** Repeats what pods that are no longer ready still hold, with growing pauses, until it is gone. */
export async function retryReleases(services: Services): Promise<void> {
  for (let pause = 1000; !services.shutdown.aborted; pause = Math.min(pause * 2, 60_000)) {
    const left = [...services.pods.all()].filter(needsRelease)
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
