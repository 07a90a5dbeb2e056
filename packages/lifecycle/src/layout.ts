// Where the files of pods and containers are.
import { join } from 'node:path'
import type { ContainerId, PodId } from '@coracle/base/ids'
import type { ContainerPaths } from '@coracle/oci-runtime'
import type { Settings } from './services.ts'

export interface PodLayout {
  readonly directory: string
  readonly namespaces: string
  readonly resolvConf: string
  readonly hostname: string
  readonly hosts: string
  readonly shm: string
  readonly infra: ContainerPaths
  readonly infraRootfs: string
}

export function podLayout(settings: Pick<Settings, 'stateDirectory'>, id: PodId): PodLayout {
  const directory = join(settings.stateDirectory, 'pods', id)
  const infra = join(directory, 'infra')
  return {
    directory,
    namespaces: join(directory, 'ns'),
    resolvConf: join(directory, 'resolv.conf'),
    hostname: join(directory, 'hostname'),
    hosts: join(directory, 'hosts'),
    shm: join(directory, 'shm'),
    infra: { id, bundle: infra, state: join(infra, 'run') },
    infraRootfs: join(infra, 'rootfs'),
  }
}

export function containerPaths(settings: Pick<Settings, 'stateDirectory'>, id: ContainerId): ContainerPaths {
  const bundle = join(settings.stateDirectory, 'containers', id)
  return { id, bundle, state: join(bundle, 'run') }
}

/** Image volumes: they may be large and live with the writable layer. */
export const volumesDirectory = (settings: Pick<Settings, 'rootDirectory'>, id: ContainerId): string =>
  join(settings.rootDirectory, 'volumes', id)
