// SELinux labels of a container: `user:role:type:level` for its processes and for its files (hazards H-35).

import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { SELinuxOption } from '@coracle/cri-api'
import { isWithin } from './paths.ts'

export interface SelinuxLabels {
  readonly processLabel: string
  readonly mountLabel: string
}

export interface SelinuxPolicy {
  /** What the policy's container processes are, e.g. `system_u:system_r:container_t`. */
  readonly process: { readonly user: string; readonly role: string; readonly type: string }
  /** What their files are, e.g. `system_u:object_r:container_file_t`. */
  readonly file: { readonly user: string; readonly role: string; readonly type: string }
  /** The type of processes that are not confined, e.g. `spc_t`. */
  readonly privilegedType: string
}

export interface SelinuxInput {
  readonly policy: SelinuxPolicy
  readonly options: SELinuxOption | undefined
  readonly privileged: boolean
  /** The pod's own level, one for all its containers: `s0:c1,c2`. */
  readonly podLevel: string
}

const field = 'config.linux.security_context.selinux_options'

/** Options that are set win over the policy's own. Throws `invalid_argument` for a part that is no SELinux word. */
export function selinuxLabels({ policy, options, privileged, podLevel }: SelinuxInput): SelinuxLabels {
  const word = (name: 'user' | 'role' | 'type', fallback: string): string => {
    const value = options?.[name] ?? ''
    if (value !== '' && !/^[A-Za-z0-9_.-]+$/.test(value)) throw invalid(`${field}.${name} ${quote(value)} is not a SELinux name`)
    return value === '' ? fallback : value
  }
  const asked = options?.level ?? ''
  if (asked !== '' && !/^s[0-9]+(-s[0-9]+)?(:c[0-9]+([.,]c[0-9]+)*)?$/.test(asked))
    throw invalid(`${field}.level ${quote(asked)} must be a level such as s0:c1,c2`)
  const level = asked === '' ? podLevel : asked
  const type = word('type', privileged ? policy.privilegedType : policy.process.type)
  return {
    processLabel: `${word('user', policy.process.user)}:${word('role', policy.process.role)}:${type}:${level}`,
    mountLabel: `${policy.file.user}:${policy.file.role}:${policy.file.type}:${level}`,
  }
}

/** How many pods a node can tell apart: unordered pairs of c0 to c1023. */
export const podLevels = (1024 * 1023) / 2

/** The two categories of one of them. */
export function podLevel(index: number): string {
  let rest = ((index % podLevels) + podLevels) % podLevels
  let first = 0
  while (rest >= 1023 - first) rest -= 1023 - first++
  return `s0:c${first},c${first + 1 + rest}`
}

// Trees whose relabelling would break the node itself.
const systemTrees = [
  '/',
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/media',
  '/mnt',
  '/opt',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/srv',
  '/sys',
  '/tmp',
  '/usr',
  '/var',
  '/var/lib',
  '/var/lib/containers',
  '/var/lib/kubelet',
  '/var/log',
  '/var/run',
]

// Whole file systems of the kernel, and trees that the system's own programs live in.
const systemSubtrees = ['/bin', '/boot', '/dev', '/etc', '/lib', '/lib64', '/proc', '/sbin', '/sys', '/usr']

/** Throws `invalid_argument` when a mount with `selinux_relabel` names a directory of the system. `path` clean. */
export function checkRelabel(where: string, path: string): void {
  if (systemTrees.includes(path) || systemSubtrees.some((tree) => isWithin(path, tree)))
    throw invalid(`${where}.selinux_relabel: ${quote(path)} belongs to the system and is not relabelled`)
}
