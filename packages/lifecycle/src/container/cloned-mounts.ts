// Mounts whose source the container's runtime is not to look up itself, because it would be a second look at a path of somebody else, or cannot,
// because ids are to be mapped or it works inside a user namespace. Each gets a source of ours, a clone, for as long as it takes to create
// the container: its own mounts of it stay.
import { writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { type PodFacts, podMappings, type UserMappings } from '@coracle/container-spec'
import type { ContainerPaths } from '@coracle/oci-runtime'
import type { RuntimeSpec, SpecMount } from '@coracle/oci-spec/runtime-spec'
import type { Services } from '../services.ts'
import type { HeldSources } from './held-sources.ts'

const log = logger('lifecycle')

export interface MountsToClone {
  readonly paths: ContainerPaths
  readonly pod: PodFacts
  readonly spec: RuntimeSpec
  /** Opened sources, by path. */
  readonly held: HeldSources
  /** crun 1.8: binds only the top of a tree in a user namespace. */
  readonly losesSubmounts: boolean
}

const directoryOf = ({ bundle }: ContainerPaths): string => join(bundle, 'clones')

/** The spec with such sources. Undone by `letClonesGo`, also after a failure. Throws `failed_precondition` naming what cannot be mapped. */
export async function cloneMounts(services: Services, request: MountsToClone): Promise<RuntimeSpec> {
  const { paths, spec } = request
  if (!spec.mounts.some((mount) => needsClone(mount, request))) return spec
  services.host.mounts.enclose(directoryOf(paths))
  const mounts: SpecMount[] = []
  for (const [index, mount] of spec.mounts.entries()) {
    if (!needsClone(mount, request)) {
      mounts.push(mount)
      continue
    }
    const { uidMappings: uids, gidMappings: gids, ...plain } = mount
    const mappings = uids === undefined || gids === undefined ? undefined : { uids, gids }
    const source = join(directoryOf(paths), String(index))
    try {
      await cloneOne(services, request, { mount, destination: source, mappings })
      const cloned = { ...plain, source }
      mounts.push(
        ...(request.losesSubmounts && mount.options.includes('rbind') ? spreadOut(services, request, cloned) : [cloned]),
      )
    } catch (err) {
      throw failed(`mount ${mount.source} at ${mount.destination}`, err)
    }
  }
  return { ...spec, mounts }
}

/**
 * What was opened (the runtime would look its path up again), and what is to be mapped. In a user namespace also trees that crun would lose a part of, and the host's /sys: there runc cannot bind it
 * without what is mounted below (mount_namespaces(7)).
 */
function needsClone({ type, options, source, destination, uidMappings }: SpecMount, request: MountsToClone): boolean {
  const { pod, losesSubmounts, held } = request
  if (uidMappings !== undefined || (type === 'bind' && held.get(source) !== undefined)) return true
  if (pod.usernsPath === undefined || type !== 'bind') return false
  return destination === '/sys' || (losesSubmounts && options.includes('rbind'))
}

interface OneMount {
  readonly mount: SpecMount
  readonly destination: string
  readonly mappings: UserMappings | undefined
}

async function cloneOne(services: Services, { pod, held }: MountsToClone, one: OneMount): Promise<void> {
  const { mount, destination, mappings } = one
  const { namespaces, mounts } = services.host
  const clone = (userns: { readonly usernsPath?: string }) => {
    const { source, options } = mount
    const recursive = options.includes('rbind')
    const timeoutMs = services.settings.probeTimeoutMs
    const opened = held.get(source)
    const request = { source, ...(opened === undefined ? {} : { held: opened }), destination, recursive, timeoutMs, ...userns }
    return mounts.mountClone(request, services.shutdown)
  }
  if (mappings === undefined) return clone({})
  if (pod.usernsPath !== undefined && JSON.stringify(mappings) === JSON.stringify(podMappings(pod.config)))
    return clone({ usernsPath: pod.usernsPath })
  const directory = `${destination}.ns`
  namespaces.pin({ directory, kinds: [], userMappings: mappings })
  try {
    await clone({ usernsPath: join(directory, 'user') })
  } finally {
    // The mount keeps the mapping.
    await namespaces.unpin(directory)
  }
}

/** A mount for each that lies below the source. `ro` is for the first alone, as the kernel has it; `rro` for all. */
function spreadOut(services: Services, { pod }: MountsToClone, mount: SpecMount): readonly SpecMount[] {
  const visitors = podMappings(pod.config)
  if (visitors === undefined) return [mount]
  const all = services.host.mounts.spread(mount.source, visitors)
  if (all.length === 0) return [mount]
  const options = mount.options.map((option) => (option === 'rbind' ? 'bind' : option))
  return all.map(({ path, source }) => ({
    ...mount,
    source,
    destination: posix.join(mount.destination, path),
    options: path === '.' ? options : options.filter((option) => option !== 'ro'),
  }))
}

/** What the runtime says of such sources, with the names that the caller knows. */
export function withoutClones(words: string, paths: ContainerPaths, spec: RuntimeSpec): string {
  const clone = new RegExp(`${RegExp.escape(directoryOf(paths))}/(\\d+)(\\.\\d+)?`, 'g')
  return words.replaceAll(clone, (name, index: string) => spec.mounts[Number(index)]?.source ?? name)
}

/** Writes the sources as they were asked for where people and scripts look for them: the runtime has read its own, and mounts no more. */
export function tellSources({ bundle }: ContainerPaths, spec: RuntimeSpec): void {
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec), { mode: 0o600 })
}

/** Lets the runtime's own mounts be the last, without the caller: the kernel takes its time with it, mostly in waiting. */
export function letClonesGo(services: Services, paths: ContainerPaths): void {
  const { id } = paths
  const going = services.host.mounts.dissolve(directoryOf(paths)).catch((err: unknown) => {
    log.error('clones of mount sources could not be taken away', { containerId: id, error: err })
  })
  services.afterCreate.set(id, going)
  void going.then(() => services.afterCreate.delete(id))
}

/** Also what a crash left. Absent: succeeds. */
export async function removeClones(services: Services, paths: ContainerPaths): Promise<void> {
  await services.afterCreate.get(paths.id)
  await services.host.mounts.dissolve(directoryOf(paths))
}
