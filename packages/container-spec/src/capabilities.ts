// capabilities(7). Names carry the CAP_ prefix here; CRI sends them with or without it.

import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Capability } from '@coracle/cri-api'
import type { Capabilities } from '@coracle/oci-spec/runtime-spec'

/** Every capability up to Linux 6.18. */
export const knownCapabilities: readonly string[] =
  `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST
NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE
SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`
    .split(/\s+/)
    .map((name) => `CAP_${name}`)

/** What a container gets that asks for nothing (docs/decisions/0100-default-capabilities.md). */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_KILL',
]

export interface CapabilitiesInput {
  readonly request: Capability | undefined
  readonly privileged: boolean
  readonly defaults: readonly string[]
  /** What this process may give. */
  readonly available: readonly string[]
}

const field = 'config.linux.security_context.capabilities'

/**
 * The five sets. `ALL` is taken first (dropped after added), then single names are added, then dropped. Inheritable and ambient stay
 * empty unless ambient ones are asked for. Throws `invalid_argument` for an unknown name, `failed_precondition` for one we do not have.
 */
export function capabilitySets(input: CapabilitiesInput): Capabilities {
  const add = parseNames(`${field}.add_capabilities`, input.request?.addCapabilities ?? [])
  const drop = parseNames(`${field}.drop_capabilities`, input.request?.dropCapabilities ?? [])
  const ambient = parseNames(`${field}.add_ambient_capabilities`, input.request?.addAmbientCapabilities ?? [])
  const available = new Set(input.available)
  let held = new Set(input.defaults.filter((name) => available.has(name)))
  if (input.privileged || add.includes('ALL')) held = new Set(available)
  if (!input.privileged && drop.includes('ALL')) held = new Set()
  const wanted = ambient.includes('ALL') ? [...available] : ambient
  for (const name of [...add, ...wanted]) if (name !== 'ALL') held.add(name)
  if (!input.privileged) for (const name of drop) held.delete(name)
  const missing = [...held].find((name) => !available.has(name))
  if (missing !== undefined)
    throw new CodedError('failed_precondition', `${field}: this runtime cannot give ${missing}, it does not have it itself`)
  const sets = knownCapabilities.filter((name) => held.has(name))
  const raised = sets.filter((name) => wanted.includes(name))
  return { bounding: sets, effective: sets, permitted: sets, inheritable: raised, ambient: raised }
}

/**
 * What execve(2) leaves of them to a user other than root (capabilities(7)). For runtimes whose own kernel does not do that: gVisor would run
 * such a user with all of them in force.
 */
export const setsOfUser = (sets: Capabilities, uid: number): Capabilities =>
  uid === 0 ? sets : { ...sets, effective: sets.ambient, permitted: sets.ambient }

/** gVisor's kernel has those up to Linux 5.7. A later name keeps its sandbox from starting, without a word. */
export const capabilitiesInSandbox = (names: readonly string[]): readonly string[] =>
  names.filter((name) => knownCapabilities.indexOf(name) <= knownCapabilities.indexOf('CAP_AUDIT_READ'))

export const noCapabilities: Capabilities = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] }

function parseNames(where: string, names: readonly string[]): string[] {
  return names.map((name, i) => {
    const upper = name.toUpperCase()
    if (upper === 'ALL' || upper === 'CAP_ALL') return 'ALL'
    const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
    if (!knownCapabilities.includes(full)) throw invalid(`${where}[${i}] ${quote(name)} is not a capability`)
    return full
  })
}
