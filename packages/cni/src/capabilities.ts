// Arguments for one pod that plugins declare to take: `runtimeConfig` (CNI conventions, "Dynamic Plugin specific fields") and CNI_ARGS.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { JsonObject } from '@coracle/base/parse-json'
import type { Attachment, Capabilities, PortMapping } from './cni.ts'
import type { PluginConfig } from './conflist.ts'

/** `runtimeConfig` for one plugin: what it declares and what the pod asks for. Undefined when they have nothing in common. */
export function runtimeConfig(plugin: PluginConfig, wanted: Capabilities): JsonObject | undefined {
  const offered = offers(wanted)
  const taken = Object.fromEntries(Object.entries(offered).filter(([name]) => plugin.capabilities.has(name)))
  return Object.keys(taken).length === 0 ? undefined : taken
}

/** Port mappings that take a port of the host. */
export const hostPorts = (attachment: Attachment): readonly PortMapping[] =>
  (attachment.capabilities.portMappings ?? []).filter((mapping) => mapping.hostPort > 0)

function offers(wanted: Capabilities): JsonObject {
  const ports = (wanted.portMappings ?? []).filter((mapping) => mapping.hostPort > 0)
  const offered: Record<string, unknown> = {}
  if (ports.length > 0) {
    offered['portMappings'] = ports.map(({ hostPort, containerPort, protocol, hostIP }) => ({
      hostPort,
      containerPort,
      protocol,
      ...(hostIP === '' ? {} : { hostIP }),
    }))
  }
  if (wanted.bandwidth !== undefined) offered['bandwidth'] = wanted.bandwidth
  if (wanted.dns !== undefined) offered['dns'] = wanted.dns
  if (wanted.ipRanges !== undefined && wanted.ipRanges.length > 0) offered['ipRanges'] = wanted.ipRanges
  if (wanted.cgroupPath !== undefined) offered['cgroupPath'] = wanted.cgroupPath
  if (wanted.podAnnotations !== undefined) offered['io.kubernetes.cri.pod-annotations'] = wanted.podAnnotations
  return offered
}

/** CNI_ARGS with the names that every Kubernetes runtime uses. */
export function cniArgs(attachment: Attachment): string {
  return [
    'IgnoreUnknown=1',
    `K8S_POD_NAMESPACE=${attachment.podNamespace}`,
    `K8S_POD_NAME=${attachment.podName}`,
    `K8S_POD_INFRA_CONTAINER_ID=${attachment.containerId}`,
    `K8S_POD_UID=${attachment.podUid}`,
  ].join(';')
}

/**
 * What goes into CNI_ARGS must not add or change another argument; the id must be one that plugins accept.
 * Throws `invalid_argument` naming the field.
 */
export function checkAttachment(attachment: Attachment): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(attachment.containerId)) {
    throw invalid(`container id ${quote(attachment.containerId)} must be letters, digits, ".", "_", "-"`)
  }
  for (const [field, value] of [
    ['pod name', attachment.podName],
    ['pod namespace', attachment.podNamespace],
    ['pod uid', attachment.podUid],
  ] as const) {
    if (/[;=\x00-\x1f]/.test(value) || value.length > 255) {
      throw invalid(`${field} ${quote(value)} must be at most 255 characters without ";", "=" and control characters`)
    }
  }
  for (const { hostPort, containerPort } of attachment.capabilities.portMappings ?? []) {
    checkPort('host port', hostPort, 0)
    checkPort('container port', containerPort, 1)
  }
}

function checkPort(field: string, port: number, lowest: number): void {
  if (!Number.isInteger(port) || port < lowest || port > 65_535) throw invalid(`${field} ${port} must be ${lowest} to 65535`)
}
