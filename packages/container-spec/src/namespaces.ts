// Which namespaces a container gets: the pod's pinned ones, its own, or the host's (none listed).

import { CodedError, invalid } from '@coracle/base/errors'
import type { ContainerConfig } from '@coracle/cri-api'
import type { Namespace } from '@coracle/oci-spec/runtime-spec'
import { namespaceMode } from './cri-values.ts'
import type { SpecInput } from './spec-input.ts'
import type { UserMappings } from './user-namespace.ts'

/** Throws `invalid_argument` for an unknown PID mode, `failed_precondition` when the namespace to join is not there. */
export function namespaces(input: SpecInput, mappings: UserMappings | undefined): readonly Namespace[] {
  const { pod } = input
  return [
    { type: 'mount' },
    ...pinned('network', pod.netnsPath),
    ...pinned('ipc', pod.ipcnsPath),
    ...pinned('uts', pod.utsnsPath),
    ...pidNamespace(input),
    ...cgroupNamespace(input),
    ...(mappings === undefined
      ? []
      : [{ type: 'user', ...(pod.usernsPath === undefined ? {} : { path: pod.usernsPath }) } as const]),
  ]
}

const pinned = (type: 'network' | 'ipc' | 'uts', path: string | undefined): readonly Namespace[] =>
  path === undefined ? [] : [{ type, path }]

function pidNamespace(input: SpecInput): readonly Namespace[] {
  const mode = pidModeOf(input.config)
  if (mode === namespaceMode.node) return []
  if (mode === namespaceMode.container) return [{ type: 'pid' }]
  const [path, whose] = mode === namespaceMode.pod ? [input.pod.pidnsPath, 'pod'] : [input.targetPidnsPath, 'target container']
  if (path === undefined) throw new CodedError('failed_precondition', `the ${whose} has no PID namespace to join`)
  return [{ type: 'pid', path }]
}

/** The PID mode of a container. Without a security context CRI's zero value is POD; a container of its own is what peers give then. */
export function pidModeOf(config: ContainerConfig): 0 | 1 | 2 | 3 {
  const options = config.linux?.securityContext?.namespaceOptions
  if (options === undefined) return namespaceMode.container
  const { pid } = options
  if (pid === 0 || pid === 1 || pid === 2 || pid === 3) return pid
  throw invalid(`config.linux.security_context.namespace_options.pid ${String(pid)} is unknown`)
}

// Privileged containers see the host's tree, as tools that manage cgroups expect; v1 has host paths everywhere, as with both peers.
const cgroupNamespace = (input: SpecInput): readonly Namespace[] =>
  input.host.cgroupMode === 'v2' && input.config.linux?.securityContext?.privileged !== true ? [{ type: 'cgroup' }] : []
