// Recovery's last step: removes what no record knows.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerId, PodId } from '@coracle/base/ids'
import { logger } from '@coracle/base/log'
import type { ContainerPaths } from '@coracle/oci-runtime'
import { ownerOf } from './container/image-volumes.ts'
import { containerPaths, podLayout, volumesDirectory } from './layout.ts'
import type { Services } from './services.ts'

const log = logger('lifecycle')

export async function sweep(services: Services): Promise<void> {
  const { images, host, settings } = services
  const known = (id: string) => services.containers.find(id) !== undefined
  // What runs is ended before its files go. The names of our directories are ids.
  for (const id of entries(join(settings.stateDirectory, 'containers'))) {
    if (!known(id))
      await sweepDirectory(
        services,
        containerPaths(settings, id as ContainerId).bundle,
        containerPaths(settings, id as ContainerId),
      )
  }
  for (const id of entries(join(settings.stateDirectory, 'pods'))) {
    if (services.pods.find(id) !== undefined) continue
    const { directory, infra } = podLayout(settings, id as PodId)
    await sweepDirectory(services, directory, infra)
    if (services.facts.cgroupDriver === 'cgroupfs') await host.cgroups.remove(`${settings.defaultCgroupParent}/${id}`)
  }
  for (const key of images.rootfsKeys()) if (!known(ownerOf(key))) await images.removeRootfs(key)
  for (const id of entries(join(settings.rootDirectory, 'volumes'))) {
    if (!known(id)) await host.paths.removeTree(volumesDirectory(settings, id as ContainerId))
  }
}

async function sweepDirectory(
  { host, runtimes, retiredRuntimes }: Services,
  directory: string,
  paths: ContainerPaths,
): Promise<void> {
  log.warn('removing what no record knows', { directory })
  // Which one made it went with the record: those that did not know of nothing and say so.
  for (const runtime of [...runtimes.values(), ...retiredRuntimes.values()]) await runtime.delete(paths)
  await host.mounts.unmountBelow(directory)
  await host.paths.removeTree(directory)
}

const entries = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : [])
