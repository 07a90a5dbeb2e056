// Looks up everything that the pure spec builder needs.
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { invalid, notFound } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { stage } from '@coracle/base/stages'
import { localhostSeccomp, planVolumes, podMappings, type SpecInput, seccompMaxBytes } from '@coracle/container-spec'
import type { ContainerConfig } from '@coracle/cri-api'
import type { Image } from '@coracle/image'
import { runtimeOf } from '../handlers.ts'
import { volumesDirectory } from '../layout.ts'
import { type Container, isRunning } from '../model/container.ts'
import { namespaceMode, type Pod } from '../model/pod.ts'
import { podFacts } from '../pod/facts.ts'
import { podIdmap } from '../pod/user-namespace.ts'
import { containerLabels, mountLabel } from '../selinux/labels.ts'
import type { Services } from '../services.ts'
import { cdiEdits, lookAtDevices } from './devices.ts'
import type { HeldSources } from './held-sources.ts'
import { type ImageVolumes, mountImageVolumes } from './image-volumes.ts'
import { lookAtSources } from './sources.ts'

/** Largest /etc/passwd and /etc/group that are read from an image. */
const accountsMaxBytes = 10 * 1024 * 1024

/** `held` gets the sources of its mounts, opened. */
export async function gatherInput(
  services: Services,
  pod: Pod,
  { container, held }: { readonly container: Container; readonly held: HeldSources },
): Promise<{ input: SpecInput; image: Image; imageVolumes: ImageVolumes['images'] }> {
  const { config, id } = container
  const image = services.images.find(container.imageId)
  if (image === undefined) throw notFound(`image ${container.imageId} is not present: pull it first`)
  const labels = containerLabels(services, pod, config)
  const [rootfs, sources] = await Promise.all([
    stage(['root file system', ''], () =>
      services.images.createRootfs(
        { key: id, image: image.id, ...mountLabel(labels), ...podIdmap(services, pod) },
        services.shutdown,
      ),
    ),
    lookAtSources(services, { config, label: labels?.mountLabel, held }),
  ])
  const handler = services.handlerSettings(pod.runtime)
  const cdi = cdiEdits(services, config)
  const bound = podMappings(pod.config) !== undefined && runtimeOf(services, pod).bindsDevices
  const volumes = await stage(['image volumes', ''], () => mountImageVolumes(services, pod, { container, held }))
  const input: SpecInput = {
    id,
    pod: podFacts(services, pod),
    config,
    image: image.config,
    host: {
      ...services.facts,
      recursiveReadOnly: handler.recursiveReadOnly,
      apparmor: services.apparmor !== undefined,
      selinux: labels !== undefined,
    },
    ...(services.apparmor === undefined
      ? {}
      : { apparmor: { defaultProfile: services.apparmor.defaultProfile, loaded: services.apparmor.loaded() } }),
    ...(labels === undefined ? {} : { selinux: labels }),
    rootfsPath: rootfs.path,
    passwd: services.host.paths.readInRoot(rootfs.path, '/etc/passwd', accountsMaxBytes),
    group: services.host.paths.readInRoot(rootfs.path, '/etc/group', accountsMaxBytes),
    sources,
    devices: lookAtDevices(services, { config, cdi, bound }),
    bindsDevices: bound,
    ownDevices: services.settings.ownDevices,
    withoutHostDevices: handler.privilegedWithoutHostDevices,
    ...(cdi === undefined ? {} : { cdi }),
    targetPidnsPath: targetPidns(services, pod, config),
    localhostSeccomp: localhostSeccomp(config, readProfile),
    allowedAnnotations: handler.allowedAnnotations,
    mountOptions: handler.mountOptions,
    volumes: makeVolumes(services, container, { image, label: labels?.mountLabel }),
    imageMounts: volumes.sources,
    unsetSeccomp: services.settings.unsetSeccomp,
    compiledSeccomp: runtimeOf(services, pod).compiledSeccomp,
    sandboxed: runtimeOf(services, pod).sandboxed,
  }
  return { input, image, imageVolumes: volumes.images }
}

function targetPidns(services: Services, pod: Pod, config: ContainerConfig): string | undefined {
  const options = config.linux?.securityContext?.namespaceOptions
  if (options?.pid !== namespaceMode.target) return undefined
  const field = 'config.linux.security_context.namespace_options.target_id'
  if (options.targetId === '') throw invalid(`${field} must not be empty when pid is TARGET`)
  const target = services.containers.find(options.targetId)
  if (target === undefined || target.podId !== pod.id)
    throw invalid(`${field} ${quote(options.targetId)} is not a container of pod sandbox ${pod.id}`)
  if (!isRunning(target)) throw invalid(`${field} ${quote(options.targetId)} is not running`)
  return `/proc/${target.state.pid}/ns/pid`
}

/** Volumes that an image declares live in the writable layer; only below a read-only root do they need a place of their own. */
function makeVolumes(
  services: Services,
  container: Container,
  { image, label }: { image: Image; label: string | undefined },
): ReadonlyMap<string, string> {
  const volumes = new Map<string, string>()
  if (container.config.linux?.securityContext?.readonlyRootfs !== true) return volumes
  const base = volumesDirectory(services.settings, container.id)
  for (const [index, path] of planVolumes(image.config, container.config).paths.entries()) {
    const directory = join(base, String(index))
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    if (label !== undefined) services.selinux?.setLabel(directory, label)
    volumes.set(path, directory)
  }
  return volumes
}

/** A profile file that the operator put on the node. */
function readProfile(path: string): Uint8Array | undefined {
  const info = statSync(path, { throwIfNoEntry: false })
  if (info === undefined) return undefined
  if (!info.isFile() || info.size > seccompMaxBytes)
    throw invalid(`seccomp profile ${quote(path)} must be a file of at most ${seccompMaxBytes} bytes`)
  return readFileSync(path)
}
