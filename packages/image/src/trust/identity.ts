// What a signature must say that it signed: containers-policy.json(5), signedIdentity.
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { objectAt, stringAt } from '@coracle/oci-spec/json-fields'
import { formatReference, nameOf, parseReference, type Reference } from '@coracle/oci-spec/reference'

export type SignedIdentity =
  | { readonly kind: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly kind: 'exactReference'; readonly reference: string }
  | { readonly kind: 'exactRepository'; readonly repository: string }
  | { readonly kind: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string }

/** Absent: `matchRepoDigestOrExact`. Throws `invalid_argument` naming the field. */
export function parseIdentity(path: string, value: unknown): SignedIdentity {
  if (value === undefined) return { kind: 'matchRepoDigestOrExact' }
  const identity = objectAt(path, value)
  const type = stringAt(`${path}.type`, identity['type'])
  const field = (name: string) => stringAt(`${path}.${name}`, identity[name])
  const keys: Record<string, readonly string[]> = {
    matchExact: [],
    matchRepoDigestOrExact: [],
    matchRepository: [],
    exactReference: ['dockerReference'],
    exactRepository: ['dockerRepository'],
    remapIdentity: ['prefix', 'signedPrefix'],
  }
  const expected = Object.hasOwn(keys, type) ? keys[type] : undefined
  if (expected === undefined) throw invalid(`${path}.type ${quote(type)} must be one of ${Object.keys(keys).join(', ')}`)
  for (const key of Object.keys(identity))
    if (key !== 'type' && !expected.includes(key)) throw invalid(`${path} has the unknown key ${quote(key)}`)
  switch (type) {
    case 'exactReference': {
      const reference = field('dockerReference')
      if (!isWhole(reference)) throw invalid(`${path}.dockerReference ${quote(reference)} must have a tag or digest`)
      return { kind: type, reference: formatReference(parseReference(reference)) }
    }
    case 'exactRepository':
      return { kind: type, repository: nameOf(parseReference(field('dockerRepository'))) }
    case 'remapIdentity':
      return {
        kind: type,
        prefix: prefixAt(`${path}.prefix`, field('prefix')),
        signedPrefix: prefixAt(`${path}.signedPrefix`, field('signedPrefix')),
      }
    default:
      // The three without fields are left.
      return { kind: type as 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  }
}

function prefixAt(path: string, text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}$/.test(text) || text.endsWith('/'))
    throw invalid(`${path} ${quote(text)} is no host or repository`)
  return text
}

// A name alone says of no image which one it is.
const isWhole = (text: string): boolean => /[:@]/.test(text.slice(text.lastIndexOf('/') + 1))

/** Whether a signature that says it is of `signed` holds for the image that was asked for. */
export function identityMatches(identity: SignedIdentity, asked: Reference, signed: string): boolean {
  let reference: Reference
  try {
    reference = parseReference(signed)
  } catch {
    return false
  }
  switch (identity.kind) {
    case 'matchExact':
      return isWhole(signed) && formatReference(asked) === formatReference(reference)
    case 'matchRepoDigestOrExact':
      return repoDigestOrExact(asked, reference, isWhole(signed))
    case 'matchRepository':
      return nameOf(asked) === nameOf(reference)
    case 'exactReference':
      return isWhole(signed) && formatReference(reference) === identity.reference
    case 'exactRepository':
      return nameOf(reference) === identity.repository
    case 'remapIdentity':
      return repoDigestOrExact(remapped(asked, identity), reference, isWhole(signed))
    default:
      return identity satisfies never
  }
}

// Asked for by digest, which is proven otherwise: the repository must be the same. By tag: the same tag must have been signed.
function repoDigestOrExact(asked: Reference, signed: Reference, signedIsWhole: boolean): boolean {
  if (asked.digest === undefined) return signedIsWhole && formatReference(asked) === formatReference(signed)
  return nameOf(asked) === nameOf(signed)
}

function remapped(
  asked: Reference,
  { prefix, signedPrefix }: { readonly prefix: string; readonly signedPrefix: string },
): Reference {
  const name = nameOf(asked)
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return asked
  const { registry, repository } = parseReference(signedPrefix + name.slice(prefix.length))
  return { ...asked, registry, repository }
}
