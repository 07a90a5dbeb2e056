// CRI config + image config + facts → OCI runtime spec. The order of the steps is here, each step in its own file.

import { CodedError } from '@coracle/base/errors'
import type { Process, RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import { specAnnotations } from './annotations.ts'
import { apparmorProfile } from './apparmor.ts'
import { bindRenamedDevices } from './bound-devices.ts'
import { capabilitiesInSandbox, capabilitySets, defaultCapabilities, setsOfUser } from './capabilities.ts'
import { applyCdi } from './cdi.ts'
import { cgroupsPath } from './cgroup-path.ts'
import { planDevices } from './devices.ts'
import { environment } from './environment.ts'
import { maskedPaths, readonlyPaths } from './masks.ts'
import { planMounts } from './mounts.ts'
import { namespaces } from './namespaces.ts'
import { commandLine, workingDirectory } from './process.ts'
import { oomScoreAdj, toLinuxResources } from './resources.ts'
import { requestedRlimits } from './rlimits.ts'
import { planSeccomp } from './seccomp.ts'
import type { SpecInput } from './spec-input.ts'
import { type ResolvedUser, resolveUser } from './user.ts'
import { checkMapped, checkSameMappings, noUserNamespaces, podMappings, type UserMappings } from './user-namespace.ts'
import { checkPrivilege } from './validate-security.ts'

/** The version of the runtime spec that every field used here is in; old enough for the runtimes of Debian 12. */
const ociVersion = '1.0.2'

export interface CreatedSpec {
  readonly spec: RuntimeSpec
  /** As ContainerStatus.user reports it. */
  readonly user: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
  /**
   * Directories directly below the root that must each be absent or a real directory, not a link, before the runtime sees the root: lstat(2)
   * them on the host and refuse the image otherwise. runc 1.1 makes device links through a linked /dev on the host itself (CVE-2026-41579).
   */
  readonly mustBeDirectories: readonly string[]
  readonly warnings: readonly string[]
}

/**
 * The spec of one container. Pure. Throws `invalid_argument` naming the CRI field, or `failed_precondition` when this node cannot do
 * what is asked; nothing is left out in silence: what could only be done in part is in `warnings`.
 */
export function createSpec(input: SpecInput): CreatedSpec {
  if (input.config.CDIDevices.length > 0 && input.cdi === undefined)
    throw new CodedError('failed_precondition', 'config.CDI_devices: CDI is not enabled on this node')
  // By annotation: those of the field were refused before.
  if (input.cdi !== undefined && input.sandboxed === true)
    throw new CodedError('failed_precondition', 'config.annotations: CDI devices need a handler on the kernel of the node')
  checkPrivilege(input.config, input.pod.config)
  const mappings = userMappings(input)
  const user = resolveUser({
    security: input.config.linux?.securityContext,
    imageUser: input.image.user,
    passwd: input.passwd,
    group: input.group,
  })
  checkMapped(mappings, { uid: user.uid, gids: user.supplementalGroups })
  const { process, warnings } = containerProcess(input, user)
  const mounts = planMounts(input, mappings)
  const devices = planDevices(input)
  const seccomp = planSeccomp(input, process.capabilities.bounding)
  const spec: RuntimeSpec = {
    ociVersion,
    process,
    // A kernel of its own does not see the name that the pod's UTS namespace has.
    ...(input.sandboxed ? { hostname: input.pod.hostname } : {}),
    root: { path: input.rootfsPath, readonly: input.config.linux?.securityContext?.readonlyRootfs === true },
    mounts: mounts.mounts,
    annotations: { ...specAnnotations(input), ...seccomp.annotations },
    linux: {
      namespaces: namespaces(input),
      ...(mappings === undefined ? {} : { uidMappings: mappings.uids, gidMappings: mappings.gids }),
      devices: mounts.ownDev ? [] : devices.devices,
      cgroupsPath: cgroupsPath(input.pod.cgroupParent, input.id, input.host),
      resources: { ...toLinuxResources(input.config.linux?.resources, input.host), devices: devices.rules },
      ...(seccomp.filter === undefined ? {} : { seccomp: seccomp.filter }),
      maskedPaths: maskedPaths(input),
      readonlyPaths: readonlyPaths(input),
      ...(mounts.rootfsPropagation === undefined ? {} : { rootfsPropagation: mounts.rootfsPropagation }),
      ...(input.selinux === undefined ? {} : { mountLabel: input.selinux.mountLabel }),
    },
  }
  const edited = input.cdi === undefined ? spec : applyCdi(spec, input.cdi, input.devices)
  const made = mappings !== undefined && input.bindsDevices === true ? bindRenamedDevices(edited, input.devices) : edited
  const { uid, gid, additionalGids } = made.process.user
  return {
    spec: made,
    user: { uid, gid, supplementalGroups: additionalGids },
    mustBeDirectories: ['/dev', '/proc', '/sys'],
    warnings: [...warnings, ...mounts.warnings],
  }
}

function containerProcess(input: SpecInput, user: ResolvedUser): { process: Process; warnings: readonly string[] } {
  const { config, host, image } = input
  const security = config.linux?.securityContext
  const privileged = security?.privileged === true
  const { env, warnings } = environment({
    image: image.env,
    envs: config.envs,
    hostname: input.pod.hostname,
    terminal: config.tty,
    home: user.home,
  })
  const oom = oomScoreAdj(config.linux?.resources, host)
  const apparmor = apparmorProfile(input)
  const capabilities = capabilitySets({
    request: security?.capabilities,
    privileged,
    defaults: input.defaultCapabilities ?? defaultCapabilities,
    available: input.sandboxed ? capabilitiesInSandbox(host.capabilities) : host.capabilities,
  })
  return {
    process: {
      terminal: config.tty,
      user: { uid: user.uid, gid: user.gid, umask: 0o22, additionalGids: user.supplementalGroups },
      args: commandLine(config, image),
      env,
      cwd: workingDirectory(config, image),
      capabilities: input.sandboxed ? setsOfUser(capabilities, user.uid) : capabilities,
      rlimits: requestedRlimits(input),
      noNewPrivileges: security?.noNewPrivs === true && !privileged,
      ...(apparmor === undefined ? {} : { apparmorProfile: apparmor }),
      ...(input.selinux === undefined ? {} : { selinuxLabel: input.selinux.processLabel }),
      oomScoreAdj: oom.value,
    },
    warnings: [...warnings, ...oom.warnings],
  }
}

function userMappings(input: SpecInput): UserMappings | undefined {
  const mappings = podMappings(input.pod.config)
  checkSameMappings(mappings, input.config.linux?.securityContext?.namespaceOptions?.usernsOptions)
  if (mappings !== undefined && !input.host.userNamespaces) throw noUserNamespaces()
  return mappings
}
