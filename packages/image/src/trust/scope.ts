// Which requirements hold for an image: the most specific scope wins (containers-policy.json(5), docker:).
import { digestedName, formatReference, nameOf, type Reference, taggedName, withPlainHost } from '@coracle/oci-spec/reference'
import type { Policy, Requirements } from './policy.ts'

export interface Applied {
  readonly requirements: Requirements
  /** For messages: `transports.docker["example.org"]`, `default`. */
  readonly place: string
}

/** For an image of a registry. */
export function requirementsFor(policy: Policy, reference: Reference): Applied {
  const scopes = policy.transports.get('docker')
  for (const scope of scopesOf(reference)) {
    const requirements = scopes?.get(scope)
    if (requirements !== undefined) return { requirements, place: `transports.docker[${JSON.stringify(scope)}]` }
  }
  return { requirements: policy.default, place: 'default' }
}

/** For an image that comes from elsewhere: only the transport as a whole counts, as paths are those of the client. */
export function requirementsForTransport(policy: Policy, transport: string): Applied {
  const requirements = policy.transports.get(transport)?.get('')
  if (requirements !== undefined) return { requirements, place: `transports.${transport}[""]` }
  return { requirements: policy.default, place: 'default' }
}

/** Each with its host as withPlainHost has it. From the image itself up to its host, then wildcards for the host without its port, then the transport. */
export function scopesOf(asked: Reference): readonly string[] {
  const reference = { ...asked, registry: withPlainHost(asked.registry) }
  const name = nameOf(reference)
  const parts = name.split('/')
  const parents = parts.map((_, i) => parts.slice(0, parts.length - i).join('/'))
  const labels = reference.registry.replace(/:\d+$/, '').split('.')
  const wildcards = labels.slice(1).map((_, i) => `*.${labels.slice(i + 1).join('.')}`)
  // Beside a digest a tag is whatever the pod's author writes: what is said of that tag is not said of this image.
  const exact = reference.digest === undefined ? taggedName(reference) : digestedName(reference, reference.digest)
  return [formatReference(reference), ...(exact === undefined ? [] : [exact]), ...parents, ...wildcards, '']
}
