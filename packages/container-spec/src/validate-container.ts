import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { ContainerConfig, LinuxContainerSecurityContext, Mount, PodSandboxConfig } from '@coracle/cri-api'
import { checkCdiName } from './cdi-index.ts'
import { namespaceMode } from './cri-values.ts'
import { parseDevice } from './devices.ts'
import { parseTarget } from './mounts.ts'
import { parseId } from './numbers.ts'
import { checkBytes, parseAbsolute } from './paths.ts'
import { checkResources } from './resources.ts'
import { seccompProfileOf } from './seccomp.ts'
import { parseProfile } from './security-profile.ts'
import { resolveStopSignal } from './stop-signal.ts'
import { checkSameMappings, podMappings } from './user-namespace.ts'
import { checkEnum, checkLogPath, checkName, checkTexts } from './validate-fields.ts'
import { checkPrivilege } from './validate-security.ts'

const maxEntries = 1000

/** Throws `invalid_argument` naming the field, as far as that needs nothing but the two configs. */
export function validateContainerConfig(config: ContainerConfig, pod: PodSandboxConfig): void {
  if (config.metadata === undefined) throw invalid('config.metadata is required')
  checkName('config.metadata.name', config.metadata.name)
  if (config.image === undefined || config.image.image === '') throw invalid('config.image.image is required')
  checkTexts('config.labels', config.labels)
  checkTexts('config.annotations', config.annotations)
  checkLogPath(config.logPath)
  if (config.logPath !== '' && pod.logDirectory === '') throw invalid("config.log_path needs the pod's log_directory")
  resolveStopSignal(config, '')
  checkCount('config.mounts', config.mounts.length)
  checkCount('config.devices', config.devices.length)
  config.mounts.forEach((mount, i) => {
    checkMount(`config.mounts[${i}]`, mount)
  })
  config.devices.forEach((device, i) => {
    parseDevice(`config.devices[${i}]`, device)
  })
  checkCount('config.CDI_devices', config.CDIDevices.length)
  config.CDIDevices.forEach(({ name }, i) => {
    checkCdiName({ field: `config.CDI_devices[${i}].name`, name })
  })
  if (config.linux?.resources !== undefined) checkResources(config.linux.resources)
  const security = config.linux?.securityContext
  if (security !== undefined) checkSecurity(security)
  checkPrivilege(config, pod)
  checkSharedNamespaces(security, pod)
  const mappings = podMappings(pod)
  checkSameMappings(mappings, security?.namespaceOptions?.usernsOptions)
  if (mappings !== undefined && security?.namespaceOptions?.pid === namespaceMode.node)
    throw invalid('config.linux.security_context.namespace_options.pid must not be NODE in a pod with a user namespace')
}

/** A container has the pod's network and IPC. POD is also what callers send who leave the field out. */
function checkSharedNamespaces(security: LinuxContainerSecurityContext | undefined, pod: PodSandboxConfig): void {
  for (const kind of ['network', 'ipc'] as const) {
    const asked = security?.namespaceOptions?.[kind] ?? namespaceMode.pod
    const ofPod = pod.linux?.securityContext?.namespaceOptions?.[kind] ?? namespaceMode.pod
    if (asked === namespaceMode.pod || asked === ofPod) continue
    const name =
      Object.entries(namespaceMode)
        .find(([, value]) => value === asked)?.[0]
        ?.toUpperCase() ?? String(asked)
    throw invalid(
      `config.linux.security_context.namespace_options.${kind} ${name} differs from the pod's: a container has the pod's own`,
    )
  }
}

function checkCount(field: string, count: number): void {
  if (count > maxEntries) throw invalid(`${field} has ${count} entries, more than the limit of ${maxEntries}`)
}

function checkMount(field: string, mount: Mount): void {
  parseTarget(`${field}.container_path`, mount.containerPath)
  checkEnum(`${field}.propagation`, mount.propagation, 2)
  if (mount.image === undefined || mount.image.image === '') {
    // NOTE: kubelet 1.36 gives the volume's sub path as image_sub_path for every kind of mount; host_path has it already.
    parseAbsolute(`${field}.host_path`, mount.hostPath)
    return
  }
  if (mount.hostPath !== '') throw invalid(`${field} must have host_path or image, not both`)
  if (mount.propagation !== 0) throw invalid(`${field}.propagation must be PRIVATE for an image`)
  checkSubPath(`${field}.image_sub_path`, mount.imageSubPath)
}

function checkSubPath(field: string, path: string): void {
  checkBytes(field, path)
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw invalid(`${field} ${quote(path)} must be relative and without ".."`)
}

function checkSecurity(security: LinuxContainerSecurityContext): void {
  const field = 'config.linux.security_context'
  if (security.namespaceOptions !== undefined) checkEnum(`${field}.namespace_options.pid`, security.namespaceOptions.pid, 3)
  checkEnum(`${field}.supplemental_groups_policy`, security.supplementalGroupsPolicy, 1)
  if (security.runAsUser !== undefined) parseId(`${field}.run_as_user`, security.runAsUser.value)
  if (security.runAsGroup !== undefined) {
    parseId(`${field}.run_as_group`, security.runAsGroup.value)
    if (security.runAsUser === undefined && security.runAsUsername === '')
      throw invalid(`${field}.run_as_group needs run_as_user or run_as_username`)
  }
  if (security.runAsUser !== undefined && security.runAsUsername !== '')
    throw invalid(`${field}.run_as_user and run_as_username must not both be set`)
  security.supplementalGroups.forEach((gid, i) => {
    parseId(`${field}.supplemental_groups[${i}]`, gid)
  })
  seccompProfileOf(security)
  parseProfile(`${field}.apparmor`, security.apparmor, security.apparmorProfile)
}
