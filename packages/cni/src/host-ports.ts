// Ports of the host that pods hold, so that the second pod that wants one is told who has it instead of being shadowed.
import { CodedError } from '@coracle/base/errors'
import { hostPorts } from './capabilities.ts'
import type { Attachment, PortMapping } from './cni.ts'

interface HeldPort {
  readonly mapping: PortMapping
  readonly owner: Attachment
}

export class HostPorts {
  readonly #byOwner = new Map<string, readonly HeldPort[]>()
  readonly #byPort = new Map<string, HeldPort[]>()

  /** Takes the pod's host ports, all or none. Throws `already_exists` naming port, protocol and the pod that has it. */
  reserve(attachment: Attachment): void {
    const wanted = hostPorts(attachment)
    for (const [index, mapping] of wanted.entries()) {
      if (wanted.slice(0, index).some((other) => keyOf(other) === keyOf(mapping) && overlap(other.hostIP, mapping.hostIP))) {
        throw new CodedError('invalid_argument', `host port ${describePort(mapping)} is asked for twice by the same pod`)
      }
      const held = this.#byPort.get(keyOf(mapping))?.find((other) => overlap(other.mapping.hostIP, mapping.hostIP))
      if (held !== undefined && held.owner.containerId !== attachment.containerId) {
        throw new CodedError(
          'already_exists',
          `host port ${describePort(mapping)} is taken by pod ${held.owner.podNamespace}/${held.owner.podName} (${held.owner.containerId.slice(0, 13)})`,
        )
      }
    }
    this.release(attachment.containerId)
    this.#byOwner.set(
      attachment.containerId,
      wanted.map((mapping) => ({ mapping, owner: attachment })),
    )
    for (const held of this.#byOwner.get(attachment.containerId) ?? []) {
      const key = keyOf(held.mapping)
      this.#byPort.set(key, [...(this.#byPort.get(key) ?? []), held])
    }
  }

  release(containerId: string): void {
    for (const held of this.#byOwner.get(containerId) ?? []) {
      const key = keyOf(held.mapping)
      const rest = (this.#byPort.get(key) ?? []).filter((other) => other !== held)
      if (rest.length === 0) this.#byPort.delete(key)
      else this.#byPort.set(key, rest)
    }
    this.#byOwner.delete(containerId)
  }
}

/** `8080/tcp`, `127.0.0.1:8080/tcp`, `[::1]:8080/tcp`. */
export function describePort({ hostIP, hostPort, protocol }: PortMapping): string {
  if (hostIP === '') return `${hostPort}/${protocol}`
  return `${hostIP.includes(':') ? `[${hostIP}]` : hostIP}:${hostPort}/${protocol}`
}

/** The address that stands for all, of either family. */
export const isAnyAddress = (address: string): boolean => address === '' || address === '0.0.0.0' || address === '::'

const keyOf = ({ protocol, hostPort }: PortMapping): string => `${protocol}:${hostPort}`

const family = (address: string): 'all' | '4' | '6' => (address === '' ? 'all' : address.includes(':') ? '6' : '4')

function overlap(a: string, b: string): boolean {
  if (a === b) return true
  const sameFamily = family(a) === family(b) || a === '' || b === ''
  return sameFamily && (isAnyAddress(a) || isAnyAddress(b))
}
