// Mounts whose ids are to be mapped. Not every runtime can do it, so each gets a source that is mapped already, for as long as it
// takes to create the container: its own mounts of them stay.
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { failed } from '@coracle/base/errors'
import { type PodFacts, podMappings, type UserMappings } from '@coracle/container-spec'
import type { ContainerPaths } from '@coracle/oci-runtime'
import type { RuntimeSpec, SpecMount } from '@coracle/oci-spec/runtime-spec'
import type { Services } from '../services.ts'

export interface MountsToMap {
  readonly paths: ContainerPaths
  readonly pod: PodFacts
  readonly spec: RuntimeSpec
}

const directoryOf = ({ bundle }: ContainerPaths): string => join(bundle, 'idmapped')

/** The spec with such sources. Undone by `unmapMounts`, also after a failure. Throws `failed_precondition` naming what cannot be mapped. */
export async function mapMounts(services: Services, request: MountsToMap): Promise<RuntimeSpec> {
  const { paths, spec } = request
  const mounts: SpecMount[] = []
  for (const [index, mount] of spec.mounts.entries()) {
    const { uidMappings, gidMappings, ...plain } = mount
    if (uidMappings === undefined || gidMappings === undefined) {
      mounts.push(mount)
      continue
    }
    const destination = join(directoryOf(paths), String(index))
    try {
      await mapOne(services, request, { mount, destination, mappings: { uids: uidMappings, gids: gidMappings } })
    } catch (err) {
      throw failed(`mount ${mount.source} with mapped ids at ${mount.destination}`, err)
    }
    mounts.push({ ...plain, source: destination })
  }
  return { ...spec, mounts }
}

interface OneMount {
  readonly mount: SpecMount
  readonly destination: string
  readonly mappings: UserMappings
}

async function mapOne(
  services: Services,
  { paths, pod }: MountsToMap,
  { mount, destination, mappings }: OneMount,
): Promise<void> {
  const { namespaces, mounts } = services.host
  mkdirSync(directoryOf(paths), { recursive: true, mode: 0o700 })
  const isPods = pod.usernsPath !== undefined && JSON.stringify(mappings) === JSON.stringify(podMappings(pod.config))
  const directory = `${destination}.ns`
  // A mount keeps the mapping of a user namespace that is gone.
  if (!isPods) namespaces.pin({ directory, kinds: [], userMappings: mappings })
  try {
    const usernsPath = isPods && pod.usernsPath !== undefined ? pod.usernsPath : join(directory, 'user')
    const recursive = mount.options.includes('rbind')
    const timeoutMs = services.settings.probeTimeoutMs
    await mounts.mountIdmapped({ source: mount.source, destination, usernsPath, recursive, timeoutMs }, services.shutdown)
  } finally {
    if (!isPods) await namespaces.unpin(directory)
  }
}

/** Also what a crash left. Absent: succeeds. */
export async function unmapMounts(services: Services, paths: ContainerPaths): Promise<void> {
  const directory = directoryOf(paths)
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    // A pin is below a directory.
    if (name.endsWith('.ns')) await services.host.namespaces.unpin(path)
    else services.host.mounts.detach(path)
  }
  await services.host.paths.removeTree(directory)
}
