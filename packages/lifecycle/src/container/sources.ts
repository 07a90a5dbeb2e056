// Mount sources: paths of a pod, which may lie on a dead server. Only killable processes look at them.
import { precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { stage } from '@coracle/base/stages'
import { checkRelabel, cleanPath, hostPathsOf, type SourceFacts } from '@coracle/container-spec'
import type { ContainerConfig } from '@coracle/cri-api'
import type { Services } from '../services.ts'

/** Looks at mount sources; makes the missing ones, as docker did and pod authors rely on. Throws `deadline_exceeded` naming those that do not answer. */
export async function lookAtSources(
  services: Services,
  config: ContainerConfig,
  label: string | undefined,
): Promise<ReadonlyMap<string, SourceFacts>> {
  const wanted = hostPathsOf(config)
  if (wanted.length === 0) return new Map()
  const { probeTimeoutMs } = services.settings
  const { paths } = services.host
  const found = await stage(['mount source', wanted.join(', ')], () => paths.probe(wanted, probeTimeoutMs, services.shutdown))
  for (const { path, type } of found) {
    if (type !== undefined) continue
    if (services.settings.absentSourcesToReject.includes(cleanPath(path)))
      throw precondition(
        `config.mounts.host_path ${quote(path)} does not exist, and is not to be made (mounts.absent_sources_to_reject)`,
      )
    await stage(['mount source', `${path}, to be made`], () => paths.makeDirectory(path, probeTimeoutMs, services.shutdown))
  }
  if (label !== undefined) await relabelSources(services, config, label)
  const propagation = await lookAtPropagation(services, config)
  return new Map(
    found.map(({ path, type }) => [path, { type: type ?? 'directory', propagation: propagation.get(path) ?? 'private' }]),
  )
}

/** Those whose mounts ask for it, one after the other: what takes long is their disk. Refuses the system's own trees, wherever a link may lead. */
async function relabelSources(services: Services, config: ContainerConfig, label: string): Promise<void> {
  const wanted = config.mounts.flatMap((mount, i) =>
    mount.selinuxRelabel && mount.hostPath !== '' ? [{ field: `config.mounts[${i}]`, path: mount.hostPath }] : [],
  )
  const { paths } = services.host
  const real = await paths.realPaths(
    wanted.map(({ path }) => path),
    services.settings.probeTimeoutMs,
    services.shutdown,
  )
  for (const [i, path] of real.entries()) checkRelabel(wanted[i]?.field ?? '', path)
  for (const path of new Set(real)) {
    await stage(['relabel', path], () => services.selinux?.relabel(path, label, services.shutdown) ?? Promise.resolve())
  }
}

type Propagation = SourceFacts['propagation']

/** Of those sources whose mounts ask for one. */
async function lookAtPropagation(services: Services, config: ContainerConfig): Promise<ReadonlyMap<string, Propagation>> {
  const wanted = [...new Set(config.mounts.filter((mount) => mount.propagation !== 0).map((mount) => mount.hostPath))]
  const real = await services.host.paths.realPaths(wanted, services.settings.probeTimeoutMs, services.shutdown)
  return new Map(wanted.map((path, i) => [path, services.host.mounts.propagationOf(real[i] ?? path)]))
}
