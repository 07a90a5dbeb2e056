// The container's mounts: the defaults, image volumes, CRI's. A later one at the same path replaces an earlier one; sorted by depth.

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Mount } from '@coracle/cri-api'
import type { SpecMount } from '@coracle/oci-spec/runtime-spec'
import { propagation } from './cri-values.ts'
import { defaultMounts } from './default-mounts.ts'
import { checkBytes, cleanPath, depthOf, isWithin, parseAbsolute } from './paths.ts'
import { checkRelabel } from './selinux.ts'
import type { SourceFacts, SpecInput } from './spec-input.ts'
import { noUserNamespaces, parseMappings, podMappings, type UserMappings } from './user-namespace.ts'
import { planVolumes } from './volumes.ts'

export interface PlannedMounts {
  readonly mounts: readonly SpecMount[]
  /** What the root mount's own propagation must be for them. */
  readonly rootfsPropagation: 'rslave' | 'rshared' | undefined
  /** /dev is the caller's: no device nodes are to be made there. */
  readonly ownDev: boolean
  readonly warnings: readonly string[]
}

/** Throws `invalid_argument` naming the mount's field; `failed_precondition` for what this host cannot do. */
export function planMounts(input: SpecInput, mappings: UserMappings | undefined): PlannedMounts {
  const requested = new Map<string, SpecMount>()
  input.config.mounts.forEach((mount, i) => {
    const spec = criMount(`config.mounts[${i}]`, mount, input)
    if (requested.has(spec.destination))
      throw invalid(`config.mounts[${i}].container_path ${quote(spec.destination)} is mounted twice`)
    requested.set(spec.destination, spec)
  })
  const volumes = planVolumes(input.image, input.config)
  const byPath = new Map<string, SpecMount>()
  const ownDev = requested.has('/dev')
  for (const mount of defaultMounts(input, mappings))
    if (!(ownDev && isWithin(mount.destination, '/dev'))) byPath.set(mount.destination, mount)
  const directories = new Map([...input.volumes].map(([path, source]) => [cleanPath(path), source]))
  for (const path of volumes.paths) {
    const source = directories.get(path)
    if (source !== undefined) byPath.set(path, volumeMount(source, path, mappings))
  }
  for (const [path, mount] of requested) byPath.set(path, mount)
  const all = input.config.mounts.map((mount) => mount.propagation)
  return {
    mounts: [...byPath.values()].sort((a, b) => depthOf(a.destination) - depthOf(b.destination)),
    rootfsPropagation: all.includes(propagation.bidirectional)
      ? 'rshared'
      : all.includes(propagation.hostToContainer)
        ? 'rslave'
        : undefined,
    ownDev,
    warnings: volumes.warnings,
  }
}

const volumeMount = (source: string, destination: string, mappings: UserMappings | undefined): SpecMount => ({
  type: 'bind',
  source,
  destination,
  options: ['rbind', 'rprivate', 'nosuid', 'nodev', 'rw'],
  ...(mappings === undefined ? {} : { uidMappings: mappings.uids, gidMappings: mappings.gids }),
})

function criMount(field: string, mount: Mount, input: SpecInput): SpecMount {
  const destination = parseTarget(`${field}.container_path`, mount.containerPath)
  const image = mount.image !== undefined && mount.image.image !== ''
  const source = image ? imageSource(field, mount, input) : hostSource(field, mount, input)
  const access = accessOf(field, mount, input)
  if (image) checkImageMappings(field, mount, podMappings(input.pod.config))
  return {
    type: 'bind',
    source,
    destination,
    options: [
      'rbind',
      propagationOption(field, mount, image ? undefined : input.sources.get(mount.hostPath)),
      image && access === 'rw' ? 'ro' : access,
      ...mountOptions(`${field}.mount_options`, mount.mountOptions, input.mountOptions),
    ],
    ...(image ? {} : mountMappings(field, mount, input)),
  }
}

/** An image is mounted for the pod's ids as it is, which is what its mappings can ask for. */
function checkImageMappings(field: string, mount: Mount, mappings: UserMappings | undefined): void {
  for (const [name, own, pods] of [
    ['uidMappings', mount.uidMappings, mappings?.uids],
    ['gidMappings', mount.gidMappings, mappings?.gids],
  ] as const)
    if (own.length > 0 && JSON.stringify(parseMappings(`${field}.${name}`, own)) !== JSON.stringify(pods))
      throw invalid(`${field}.${name} must be the pod's own mapping for an image`)
}

function imageSource(field: string, mount: Mount, input: SpecInput): string {
  const source = input.imageMounts?.get(mount.containerPath)
  if (source === undefined)
    throw new CodedError(
      'failed_precondition',
      `ImageVolumeMountFailed: ${field}.image ${quote(mount.image?.image ?? '')} is not mounted`,
    )
  return source
}

function hostSource(field: string, mount: Mount, input: SpecInput): string {
  const source = parseAbsolute(`${field}.host_path`, mount.hostPath)
  if (mount.selinuxRelabel && input.host.selinux) checkRelabel(field, source)
  if (input.sources.get(mount.hostPath)?.type === undefined)
    throw new CodedError('failed_precondition', `${field}.host_path ${quote(mount.hostPath)} does not exist`)
  return source
}

// lxcfs and its like put these files over the real ones; everything else below /proc would hide what the runtime guards (CVE-2019-19921).
const procFiles = new Set(
  ['cpuinfo', 'diskstats', 'loadavg', 'meminfo', 'slabinfo', 'stat', 'swaps', 'uptime', 'net/dev', 'sys/kernel/ns_last_pid'].map(
    (name) => `/proc/${name}`,
  ),
)

/** A mount's target, clean. Throws `invalid_argument` unless it may be mounted over. */
export function parseTarget(field: string, path: string): string {
  if (path === '') throw invalid(`${field} must not be empty`)
  const target = parseAbsolute(field, path)
  if (target === '/') throw invalid(`${field} ${quote(path)} must not be the root directory`)
  if (isWithin(target, '/proc') && !procFiles.has(target)) throw invalid(`${field} ${quote(path)} must not be /proc or below it`)
  return target
}

function accessOf(field: string, mount: Mount, input: SpecInput): 'ro' | 'rro' | 'rw' {
  if (!mount.recursiveReadOnly) return mount.readonly ? 'ro' : 'rw'
  if (!mount.readonly) throw invalid(`${field}.recursive_read_only needs readonly`)
  if (mount.propagation !== propagation.private) throw invalid(`${field}.recursive_read_only needs propagation PRIVATE`)
  // kubelet shows this word as the container's waiting reason.
  if (!input.host.recursiveReadOnly)
    throw new CodedError(
      'failed_precondition',
      `RROUnsupported: ${field}.recursive_read_only: not supported by this handler and kernel`,
    )
  return 'rro'
}

function propagationOption(field: string, mount: Mount, source: SourceFacts | undefined): 'rprivate' | 'rslave' | 'rshared' {
  const actual = source?.propagation ?? 'private'
  const where = `${field}.propagation`
  switch (mount.propagation) {
    case propagation.private:
      return 'rprivate'
    case propagation.hostToContainer:
      if (actual === 'private')
        throw new CodedError(
          'failed_precondition',
          `${where}: ${quote(mount.hostPath)} is on a private mount: expected a shared or slave one`,
        )
      return 'rslave'
    case propagation.bidirectional:
      if (actual !== 'shared')
        throw new CodedError(
          'failed_precondition',
          `${where}: ${quote(mount.hostPath)} is on a ${actual} mount: expected a shared one`,
        )
      return 'rshared'
    default:
      throw invalid(`${where} ${String(mount.propagation)} is unknown`)
  }
}

const allowedOptions = new Set(
  'noexec exec nosuid suid nodev dev noatime atime nodiratime diratime relatime norelatime strictatime nosymfollow'.split(' '),
)

/** Only these words: an option is never text of the caller's own (CVE-2024-9407). One that the runtime does not know it would ignore (crun 1.8). */
function mountOptions(field: string, options: readonly string[], known: ReadonlySet<string> = allowedOptions): readonly string[] {
  options.forEach((option, i) => {
    checkBytes(`${field}[${i}]`, option)
    if (!allowedOptions.has(option))
      throw invalid(`${field}[${i}] ${quote(option)} is not one of ${[...allowedOptions].join(', ')}`)
    if (!known.has(option))
      throw new CodedError('failed_precondition', `${field}[${i}] ${quote(option)} is not supported by this handler`)
  })
  return options
}

function mountMappings(field: string, mount: Mount, input: SpecInput): Pick<SpecMount, 'uidMappings' | 'gidMappings'> {
  if (mount.uidMappings.length === 0 && mount.gidMappings.length === 0) return {}
  if (mount.uidMappings.length === 0 || mount.gidMappings.length === 0)
    throw invalid(`${field} must have both uidMappings and gidMappings, or neither`)
  if (!input.host.userNamespaces) throw noUserNamespaces()
  return {
    uidMappings: parseMappings(`${field}.uidMappings`, mount.uidMappings),
    gidMappings: parseMappings(`${field}.gidMappings`, mount.gidMappings),
  }
}
