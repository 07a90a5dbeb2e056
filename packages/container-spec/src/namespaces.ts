// Which namespaces a container gets: the pod's pinned ones, its own, or the host's (none listed).

import { CodedError, invalid } from '@coracle/base/errors'
import type { ContainerConfig } from '@coracle/cri-api'
import type { Namespace } from '@coracle/oci-spec/runtime-spec'
import { namespaceMode } from './cri-values.ts'
import type { SpecInput } from './spec-input.ts'

/** Throws `invalid_argument` for an unknown PID mode, `failed_precondition` when the namespace to join is not there. */
export function namespaces(input: SpecInput): readonly Namespace[] {
  const { pod } = input
  return [
    { type: 'mount' },
    ...pinned('network', pod.netnsPath),
    ...pinned('ipc', pod.ipcnsPath),
    ...pinned('uts', pod.utsnsPath),
    ...pidNamespace(input),
    ...cgroupNamespace(input),
    ...pinned('user', pod.usernsPath),
  ]
}

const pinned = (type: 'network' | 'ipc' | 'uts' | 'user', path: string | undefined): readonly Namespace[] =>
  path === undefined ? [] : [{ type, path }]

function pidNamespace(input: SpecInput): readonly Namespace[] {
  const mode = pidModeOf(input.config)
  if (mode === namespaceMode.node) return []
  if (mode === namespaceMode.container) return [{ type: 'pid' }]
  // In a pod that shares none, POD is what callers send who leave the field out.
  if (mode === namespaceMode.pod)
    return [input.pod.pidnsPath === undefined ? { type: 'pid' } : { type: 'pid', path: input.pod.pidnsPath }]
  if (input.targetPidnsPath === undefined)
    throw new CodedError('failed_precondition', 'the target container has no PID namespace to join')
  return [{ type: 'pid', path: input.targetPidnsPath }]
}

/** The PID mode of a container. Absent options are the enum's zero value, POD, as with both peers. */
export function pidModeOf(config: ContainerConfig): 0 | 1 | 2 | 3 {
  const pid = config.linux?.securityContext?.namespaceOptions?.pid ?? namespaceMode.pod
  if (pid === 0 || pid === 1 || pid === 2 || pid === 3) return pid
  throw invalid(`config.linux.security_context.namespace_options.pid ${String(pid)} is unknown`)
}

// Privileged containers see the host's tree, as tools that manage cgroups expect; v1 has host paths everywhere, as with both peers.
const cgroupNamespace = (input: SpecInput): readonly Namespace[] =>
  input.host.cgroupMode === 'v2' && input.config.linux?.securityContext?.privileged !== true ? [{ type: 'cgroup' }] : []
