// User namespaces of pods, as CRI's UserNamespace message asks for them (user_namespaces(7)).

import { CodedError, invalid } from '@coracle/base/errors'
import type { IDMapping, PodSandboxConfig, UserNamespace } from '@coracle/cri-api'
import type { IdMapping } from '@coracle/oci-spec/runtime-spec'
import { namespaceMode } from './cri-values.ts'

export interface UserMappings {
  readonly uids: readonly IdMapping[]
  readonly gids: readonly IdMapping[]
}

const maxMappedId = 2 ** 32 - 2

/** The mappings a UserNamespace asks for; undefined: the host's. Throws `invalid_argument` for what CRI forbids. */
export function parseUserNamespace(field: string, options: UserNamespace | undefined): UserMappings | undefined {
  if (options === undefined || options.mode === namespaceMode.node) {
    if (options !== undefined && (options.uids.length > 0 || options.gids.length > 0))
      throw invalid(`${field} has mappings, but its mode is NODE`)
    return undefined
  }
  if (options.mode !== namespaceMode.pod) throw invalid(`${field}.mode ${options.mode} is not supported: expected POD or NODE`)
  const mappings = { uids: [parseOne(`${field}.uids`, options.uids)], gids: [parseOne(`${field}.gids`, options.gids)] }
  if (!sameMappings(mappings.uids, mappings.gids)) throw invalid(`${field}.uids and .gids must be the same mapping`)
  return mappings
}

const sameMappings = (a: readonly IdMapping[], b: readonly IdMapping[]): boolean => JSON.stringify(a) === JSON.stringify(b)

function parseOne(field: string, mappings: readonly IDMapping[]): IdMapping {
  const [mapping] = mappings
  if (mapping === undefined || mappings.length !== 1)
    throw invalid(`${field} must hold exactly one mapping, not ${mappings.length}`)
  if (mapping.containerId !== 0) throw invalid(`${field}[0].container_id must be 0, not ${mapping.containerId}`)
  // Root inside would be root of the host.
  if (mapping.hostId === 0) throw invalid(`${field}[0].host_id must not be 0`)
  return parseMapping(`${field}[0]`, mapping)
}

function parseMapping(field: string, mapping: IDMapping): IdMapping {
  if (mapping.length === 0) throw invalid(`${field}.length must not be 0`)
  if (mapping.hostId + mapping.length - 1 > maxMappedId || mapping.containerId + mapping.length - 1 > maxMappedId)
    throw invalid(`${field} reaches past the last id ${maxMappedId}`)
  return { containerID: mapping.containerId, hostID: mapping.hostId, size: mapping.length }
}

/** Throws `invalid_argument` when a process could not have these ids in the pod's user namespace. */
export function checkMapped(
  mappings: UserMappings | undefined,
  ids: { readonly uid: number; readonly gids: readonly number[] },
): void {
  if (mappings === undefined) return
  const [first] = mappings.uids
  const size = first?.size ?? 0
  for (const [what, id] of [['user', ids.uid] as const, ...ids.gids.map((gid) => ['group', gid] as const)])
    if (id >= size) throw invalid(`${what} ${id} is not mapped in the pod's user namespace, which has ids from 0 to ${size - 1}`)
}

/** The mappings of a mount. The kernel takes up to 340 lines. */
export function parseMappings(field: string, mappings: readonly IDMapping[]): readonly IdMapping[] {
  if (mappings.length > 340) throw invalid(`${field} has ${mappings.length} entries: at most 340 are allowed`)
  return mappings.map((mapping, i) => parseMapping(`${field}[${i}]`, mapping))
}

/** The pod's mappings; undefined without a user namespace. */
export const podMappings = (pod: PodSandboxConfig): UserMappings | undefined =>
  parseUserNamespace(
    'config.linux.security_context.namespace_options.userns_options',
    pod.linux?.securityContext?.namespaceOptions?.usernsOptions,
  )

/** Throws `invalid_argument` unless a container asks for the same user namespace as its pod. */
export function checkSameMappings(pod: UserMappings | undefined, options: UserNamespace | undefined): void {
  const field = 'config.linux.security_context.namespace_options.userns_options'
  // Absent is not a wish: crictl leaves it out of containers.
  if (options === undefined) return
  const own = parseUserNamespace(field, options)
  if (JSON.stringify(own) !== JSON.stringify(pod)) throw invalid(`${field} differs from the pod's`)
}

/** The refusal when this node or handler has no user namespaces. */
export const noUserNamespaces = (reason = ''): CodedError =>
  new CodedError(
    'failed_precondition',
    `user namespaces are not supported by this runtime handler and kernel${reason === '' ? '' : `: ${reason}`}`,
  )
