import { isIP } from 'node:net'
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { LinuxSandboxSecurityContext, PodSandboxConfig, PortMapping } from '@coracle/cri-api'
import { namespaceMode } from './cri-values.ts'
import { parseId } from './numbers.ts'
import { checkBytes } from './paths.ts'
import { checkDns, isHostNetworked, parseHostname } from './pod-files.ts'
import { parseProfile } from './security-profile.ts'
import { checkSysctls } from './sysctls.ts'
import { podMappings } from './user-namespace.ts'
import { checkEnum, checkLogDirectory, checkName, checkTexts } from './validate-fields.ts'

/** Throws `invalid_argument` naming the field. Without side effects, before anything is made for the pod. */
export function validatePodConfig(config: PodSandboxConfig): void {
  if (config.metadata === undefined) throw invalid('config.metadata is required')
  checkName('config.metadata.name', config.metadata.name)
  checkName('config.metadata.namespace', config.metadata.namespace)
  checkName('config.metadata.uid', config.metadata.uid)
  checkTexts('config.labels', config.labels)
  checkTexts('config.annotations', config.annotations)
  checkLogDirectory(config.logDirectory)
  if (config.hostname !== '' && !isHostNetworked(config)) parseHostname('config.hostname', config.hostname)
  if (config.dnsConfig !== undefined) checkDns(config.dnsConfig)
  config.portMappings.forEach((mapping, i) => {
    checkPort(`config.port_mappings[${i}]`, mapping)
  })
  checkParent(config.linux?.cgroupParent ?? '')
  const security = config.linux?.securityContext
  if (security !== undefined) checkSecurity(security)
  checkNamespaceMix(config)
  const ipc = security?.namespaceOptions?.ipc !== namespaceMode.node
  const network = !isHostNetworked(config)
  checkSysctls(config.linux?.sysctls ?? {}, { network, ipc, uts: network })
}

/** /proc of the host's PID namespace cannot be mounted by those who do not own it (user_namespaces(7)), and nothing else may stand for it. */
function checkNamespaceMix(config: PodSandboxConfig): void {
  const options = config.linux?.securityContext?.namespaceOptions
  if (podMappings(config) === undefined) return
  if (options?.pid === namespaceMode.node)
    throw invalid('config.linux.security_context.namespace_options.pid must not be NODE in a pod with a user namespace')
}

function checkPort(field: string, mapping: PortMapping): void {
  checkEnum(`${field}.protocol`, mapping.protocol, 2)
  if (mapping.hostPort < 0 || mapping.hostPort > 65535)
    throw invalid(`${field}.host_port ${mapping.hostPort} must be from 0 to 65535`)
  // Without a host port nothing is mapped, and kubelet and crictl then may leave the container's out.
  const least = mapping.hostPort === 0 ? 0 : 1
  if (mapping.containerPort < least || mapping.containerPort > 65535)
    throw invalid(`${field}.container_port ${mapping.containerPort} must be from ${least} to 65535`)
  if (mapping.hostIp !== '' && isIP(mapping.hostIp) === 0)
    throw invalid(`${field}.host_ip ${quote(mapping.hostIp)} must be an IP address`)
}

function checkParent(parent: string): void {
  const field = 'config.linux.cgroup_parent'
  checkBytes(field, parent)
  if (/(^|\/)\.\.?(\/|$)/.test(parent) || /[\n:]/.test(parent))
    throw invalid(`${field} ${quote(parent)} must be a clean path without line ends and ":"`)
}

function checkSecurity(security: LinuxSandboxSecurityContext): void {
  const field = 'config.linux.security_context'
  const options = security.namespaceOptions
  if (options !== undefined) {
    for (const [name, mode] of [
      ['network', options.network],
      ['ipc', options.ipc],
    ] as const)
      if (mode !== namespaceMode.pod && mode !== namespaceMode.node)
        throw invalid(`${field}.namespace_options.${name} ${String(mode)} is not supported for a pod: expected POD or NODE`)
    checkEnum(`${field}.namespace_options.pid`, options.pid, 2)
  }
  if (security.runAsUser !== undefined) parseId(`${field}.run_as_user`, security.runAsUser.value)
  if (security.runAsGroup !== undefined) {
    parseId(`${field}.run_as_group`, security.runAsGroup.value)
    if (security.runAsUser === undefined) throw invalid(`${field}.run_as_group needs run_as_user`)
  }
  security.supplementalGroups.forEach((gid, i) => {
    parseId(`${field}.supplemental_groups[${i}]`, gid)
  })
  checkEnum(`${field}.supplemental_groups_policy`, security.supplementalGroupsPolicy, 1)
  parseProfile(`${field}.seccomp`, security.seccomp, security.seccompProfilePath)
  parseProfile(`${field}.apparmor`, security.apparmor, '')
}
