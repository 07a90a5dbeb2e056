import { statSync } from 'node:fs'
import { explain, failed } from '@coracle/base/errors'
import { failpoint } from '@coracle/base/failpoint'
import { logger } from '@coracle/base/log'
import { cleanupSignal } from '@coracle/base/signals'
import { stage } from '@coracle/base/stages'
import { runtimeOf } from '../handlers.ts'
import { containerPaths, volumesDirectory } from '../layout.ts'
import { type Container, isLive } from '../model/container.ts'
import type { Services } from '../services.ts'
import { removeClones } from './cloned-mounts.ts'
import { forgetWatch } from './exit.ts'
import { removeImageVolumes } from './image-volumes.ts'
import { stopLive } from './stop.ts'

const log = logger('lifecycle')

/** Kills the container if it runs, removes its writable layer, files and record. Its log stays: that is the caller's. Unknown: succeeds. */
export async function removeContainer(services: Services, id: string): Promise<void> {
  const found = services.containers.find(id)
  if (found === undefined) return
  await stage(['remove container', ''], () => killAndRelease(services, found))
}

async function killAndRelease(services: Services, found: Container): Promise<void> {
  if (isLive(found)) await stopLive(services, found, 0)
  using _lock = await services.containerLocks.lock(found.id, cleanupSignal(240_000))
  const container = services.containers.find(found.id)
  if (container === undefined) return
  try {
    await releaseContainer(services, container)
  } catch (err) {
    throw failed(`remove container ${container.id}`, err)
  }
}

/** Undoes from the record whatever may exist of a container, then forgets it. Idempotent. For a caller that holds its lock. */
async function releaseContainer(services: Services, container: Container): Promise<void> {
  const { id } = container
  const paths = containerPaths(services.settings, id)
  const cleaned = services.afterExit.get(id)
  if (cleaned !== undefined) await stage(['cleanup', 'after the exit'], () => cleaned)
  await runtimeOf(services, container).delete(paths)
  await failpoint('container.release')
  await removeClones(services, paths)
  await stage(['unmount', 'root file system and image volumes'], async () => {
    await services.images.removeRootfs(id)
    await removeImageVolumes(services, id)
  })
  await stage(['remove files', paths.bundle], async () => {
    await services.host.paths.removeTree(volumesDirectory(services.settings, id))
    await services.host.paths.removeTree(paths.bundle)
  })
  await failpoint('container.forget')
  services.containers.delete(id)
  forgetWatch(services, id)
}

/** Rollback and recovery of a container that was never handed out. What would not go is retried when its pod is removed. */
export async function teardownContainer(services: Services, container: Container, cause: unknown): Promise<void> {
  try {
    await releaseContainer(services, container)
    removeEmptyLog(services, container)
  } catch (err) {
    log.error('container could not be undone', { containerId: container.id, reason: explain(cause), error: err })
  }
}

function removeEmptyLog(services: Services, container: Container): void {
  const { logPath } = container
  if (logPath === undefined) return
  const info = statSync(logPath, { throwIfNoEntry: false })
  if (info?.isFile() && info.size === 0) void services.host.paths.removeTree(logPath)
}
