// Mount sources: paths of a pod, which may lie on a dead server. Only killable processes look at them; what answers is opened, once, and held.
import { precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { stage } from '@coracle/base/stages'
import { checkRelabel, cleanPath, hostPathsOf, type SourceFacts } from '@coracle/container-spec'
import type { ContainerConfig } from '@coracle/cri-api'
import type { HeldPath, PathInfo } from '@coracle/host'
import type { Services } from '../services.ts'
import type { HeldSources } from './held-sources.ts'

export interface SourcesToLookAt {
  readonly config: ContainerConfig
  /** For those that are to be relabelled. */
  readonly label: string | undefined
  /** Gets them, opened, by their clean paths. */
  readonly held: HeldSources
}

/** Looks at mount sources; makes the missing ones, as docker did and pod authors rely on. Throws `deadline_exceeded` naming those that do not answer. */
export async function lookAtSources(services: Services, request: SourcesToLookAt): Promise<ReadonlyMap<string, SourceFacts>> {
  const { config, held } = request
  const sent = hostPathsOf(config)
  if (sent.length === 0) return new Map()
  const wanted = [...new Set(sent.map(cleanPath))]
  const found = await findOrMake(services, wanted)
  const opened = await stage(['mount source', `${wanted.join(', ')}, to be opened`], () =>
    services.host.paths.hold(found, services.settings.probeTimeoutMs, services.shutdown),
  )
  for (const place of opened) held.add(place)
  const places = new Map(opened.map((place) => [place.path, place]))
  if (request.label !== undefined) await relabelSources(services, places, { config, label: request.label })
  const asked = new Set(config.mounts.filter(({ propagation }) => propagation !== 0).map(({ hostPath }) => cleanPath(hostPath)))
  const factsOf = (path: string): SourceFacts => {
    const place = places.get(path)
    if (place === undefined) return { type: undefined, propagation: 'private' }
    return { type: place.type, propagation: asked.has(path) ? services.host.mounts.propagationOf(place) : 'private' }
  }
  return new Map(sent.map((path) => [path, factsOf(cleanPath(path))]))
}

async function findOrMake(services: Services, wanted: readonly string[]): Promise<readonly PathInfo[]> {
  const { paths } = services.host
  const { probeTimeoutMs, absentSourcesToReject } = services.settings
  const found = await stage(['mount source', wanted.join(', ')], () => paths.probe(wanted, probeTimeoutMs, services.shutdown))
  for (const { path, type } of found) {
    if (type !== undefined) continue
    if (absentSourcesToReject.includes(path))
      throw precondition(
        `config.mounts.host_path ${quote(path)} does not exist, and is not to be made (mounts.absent_sources_to_reject)`,
      )
    await stage(['mount source', `${path}, to be made`], () => paths.makeDirectory(path, probeTimeoutMs, services.shutdown))
  }
  return found.map((info) => ({ ...info, type: info.type ?? 'directory' }))
}

/** Those whose mounts ask for it, one after the other: what takes long is their disk. Refuses the system's own trees, wherever a link may lead. */
async function relabelSources(
  services: Services,
  places: ReadonlyMap<string, HeldPath>,
  { config, label }: { readonly config: ContainerConfig; readonly label: string },
): Promise<void> {
  const real = config.mounts.flatMap((mount, i) => {
    const place = mount.selinuxRelabel && mount.hostPath !== '' ? places.get(cleanPath(mount.hostPath)) : undefined
    return place === undefined ? [] : [{ field: `config.mounts[${i}]`, path: place.realPath() }]
  })
  for (const { field, path } of real) checkRelabel(field, path)
  for (const path of new Set(real.map(({ path }) => path))) {
    await stage(['relabel', path], () => services.selinux?.relabel(path, label, services.shutdown) ?? Promise.resolve())
  }
}
