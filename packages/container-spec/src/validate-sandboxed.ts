// What a runtime whose containers have a kernel of their own (gVisor) cannot do is refused, not dropped: docs/decisions/0411-runsc.md.
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { ContainerConfig, PodSandboxConfig } from '@coracle/cri-api'
import { namespaceMode } from './cri-values.ts'
import { podMappings } from './user-namespace.ts'

const refuse = (field: string, handler: string, why: string): never => {
  throw new CodedError(
    'failed_precondition',
    `${field}: handler ${quote(handler)} runs containers on a kernel of their own, ${why}`,
  )
}

/** Throws `failed_precondition` naming the field that the handler cannot fulfil. */
export function checkSandboxedPod(config: PodSandboxConfig, handler: string): void {
  const security = config.linux?.securityContext
  const field = 'config.linux.security_context'
  if (security?.privileged === true)
    refuse(`${field}.privileged`, handler, "which cannot be given the node's devices and privileges")
  const options = security?.namespaceOptions
  if (options?.pid === namespaceMode.node)
    refuse(`${field}.namespace_options.pid NODE`, handler, 'which does not see the processes of the node')
  // Without the message nobody asked for it: POD is only the enum's zero.
  if (options?.pid === namespaceMode.pod)
    refuse(`${field}.namespace_options.pid POD`, handler, 'one for each container: they cannot share processes')
  if (options?.ipc === namespaceMode.node)
    refuse(`${field}.namespace_options.ipc NODE`, handler, "which does not have the node's System V IPC")
  if (podMappings(config) !== undefined)
    refuse(`${field}.namespace_options.userns_options`, handler, 'which has no mapping of ids to give')
  // Those of the network work: the network is the pod's own namespace on this kernel.
  const foreign = Object.keys(config.linux?.sysctls ?? {}).find((name) => !name.startsWith('net.'))
  if (foreign !== undefined)
    refuse(`config.linux.sysctls[${quote(foreign)}]`, handler, 'whose settings cannot be changed from here')
}

/** Throws `failed_precondition` naming the field that the handler cannot fulfil. */
export function checkSandboxedContainer(config: ContainerConfig, handler: string): void {
  const pid = config.linux?.securityContext?.namespaceOptions?.pid
  const field = 'config.linux.security_context.namespace_options.pid'
  if (pid === namespaceMode.target) refuse(`${field} TARGET`, handler, 'one for each container: they cannot share processes')
  if (pid === namespaceMode.node) refuse(`${field} NODE`, handler, 'which does not see the processes of the node')
  if ((config.linux?.securityContext?.capabilities?.addAmbientCapabilities ?? []).length > 0)
    refuse('config.linux.security_context.capabilities.add_ambient_capabilities', handler, 'which loses them at execve')
  if (config.devices.length > 0 || config.CDIDevices.length > 0)
    refuse(
      config.devices.length > 0 ? 'config.devices' : 'config.CDI_devices',
      handler,
      'which does not have the devices of the node',
    )
  config.mounts.forEach((mount, i) => {
    if (mount.propagation !== 0)
      refuse(`config.mounts[${i}].propagation`, handler, 'into which later mounts of the node do not come')
    if (mount.recursiveReadOnly)
      // kubelet shows this word as the reason.
      refuse(`RROUnsupported: config.mounts[${i}].recursive_read_only`, handler, 'which cannot make submounts read-only')
  })
}
