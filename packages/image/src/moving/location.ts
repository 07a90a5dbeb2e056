// Where an image is, in the words that the container tools share: `docker://name`, `oci:DIR[:ref]`, `docker-archive:FILE[:name]`, …
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseReference, type Reference } from '@coracle/oci-spec/reference'

export type Location =
  | { readonly kind: 'docker'; readonly reference: Reference }
  | { readonly kind: 'oci' | 'oci-archive' | 'docker-archive'; readonly path: string; readonly name?: string }
  | { readonly kind: 'dir'; readonly path: string }
  | { readonly kind: 'store'; readonly name: string }

const transports = ['docker', 'oci', 'oci-archive', 'docker-archive', 'dir', 'store'] as const

/** Text without a transport names an image of the store. Throws `invalid_argument`. */
export function parseLocation(text: string): Location {
  const [, transport = '', rest = ''] = /^([a-z-]+):(.*)$/s.exec(text) ?? []
  if (!transports.some((known) => known === transport)) {
    if (text.includes('://') || ['docker-daemon', 'containers-storage', 'tarball', 'sif', 'ostree'].includes(transport))
      throw invalid(`location ${quote(text)} has an unknown transport: expected one of ${transports.join(', ')}`)
    return storeLocation(text)
  }
  if (transport === 'docker') {
    if (!rest.startsWith('//')) throw invalid(`location ${quote(text)} must be docker://NAME`)
    return { kind: 'docker', reference: parseReference(rest.slice(2)) }
  }
  if (transport === 'store') return storeLocation(rest)
  if (transport === 'dir') return { kind: 'dir', path: nonEmpty(text, rest) }
  const colon = rest.indexOf(':')
  const name = colon < 0 ? '' : rest.slice(colon + 1)
  const path = nonEmpty(text, colon < 0 ? rest : rest.slice(0, colon))
  // The three that are left.
  const kind = transport as 'oci' | 'oci-archive' | 'docker-archive'
  if (/[\0\n]/.test(name) || name.length > 1024) throw invalid(`location ${quote(text)} has a bad name after the path`)
  return { kind, path, ...(name === '' ? {} : { name }) }
}

function storeLocation(name: string): Location {
  if (name === '') throw invalid('location is empty: expected an image name or TRANSPORT:…')
  return { kind: 'store', name }
}

function nonEmpty(text: string, path: string): string {
  if (path === '' || path.includes('\0')) throw invalid(`location ${quote(text)} has no path`)
  return path
}
