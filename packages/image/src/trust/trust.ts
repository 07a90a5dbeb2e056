// Whether an image may enter the store. Asked after its manifest is known and before anything of it is unpacked.
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Digest } from '@coracle/oci-spec/digest'
import type { Reference } from '@coracle/oci-spec/reference'
import type { RegistryClient } from '../registry/client.ts'
import { identityMatches } from './identity.ts'
import { isSignedBy } from './keys.ts'
import type { SignaturePolicies } from './load-policies.ts'
import type { Policy, Requirement } from './policy.ts'
import { requirementsFor, requirementsForTransport } from './scope.ts'
import { fetchSignatures, type Signature, tryClaim } from './signatures.ts'

/** The policy does not let the image in. kubelet shows the first word of the message that a pull makes of it. */
export class SignatureError extends CodedError {
  override readonly name = 'SignatureError'
  constructor(message: string, options?: ErrorOptions) {
    // kubelet reads the reason only from errors of this code.
    super('unknown', message, options)
  }
}

export interface Candidate {
  readonly reference: Reference
  /** Of the pod that it is pulled for. */
  readonly namespace: string | undefined
  /** Of the index that the name stands for, if it is one, and of the manifest chosen from it. A signature of either is one of the image. */
  readonly digests: readonly Digest[]
  readonly client: RegistryClient
  readonly stallMs: number
}

const policyFor = (policies: SignaturePolicies, namespace: string | undefined): Policy =>
  (namespace === undefined ? undefined : policies.byNamespace.get(namespace)) ?? policies.node

/** Throws SignatureError when the policy refuses; RegistryError when signatures cannot be had. */
export async function checkTrust(policies: SignaturePolicies, candidate: Candidate, signal: AbortSignal): Promise<void> {
  const { requirements, place } = requirementsFor(policyFor(policies, candidate.namespace), candidate.reference)
  const signatures = new Map<Digest, readonly Signature[]>()
  for (const requirement of requirements) {
    const refused = await refusal(requirement, candidate, { signatures, signal })
    if (refused !== undefined) throw new SignatureError(`signature policy, ${place}: ${refused}`)
  }
}

/** What the node's policy asks of an image, in words; undefined: nothing. No signature is looked at. */
export function policyNote({ node }: SignaturePolicies, reference: Reference): string | undefined {
  const { requirements, place } = requirementsFor(node, reference)
  const asks = requirements.flatMap((requirement) => {
    if (requirement.kind === 'insecureAcceptAnything') return []
    if (requirement.kind === 'reject') return ['refuses this image']
    return requirement.kind === 'unsupported'
      ? [`refuses this image, as ${requirement.why}`]
      : ['asks for a signature, which is not looked at here']
  })
  return asks.length === 0 ? undefined : `signature policy, ${place}: ${asks.join('; ')}`
}

/** The same for an image that does not come from a registry: there are no signatures to look at. */
export function checkTransport(policies: SignaturePolicies, transport: string): void {
  const { requirements, place } = requirementsForTransport(policies.node, transport)
  for (const { kind } of requirements) {
    if (kind === 'insecureAcceptAnything') continue
    const why = kind === 'reject' ? 'refuses' : 'asks for signatures of'
    throw new SignatureError(`SignatureValidationFailed: signature policy, ${place}, ${why} images from ${transport}`)
  }
}

interface Looked {
  readonly signatures: Map<Digest, readonly Signature[]>
  readonly signal: AbortSignal
}

async function refusal(requirement: Requirement, candidate: Candidate, looked: Looked): Promise<string | undefined> {
  switch (requirement.kind) {
    case 'insecureAcceptAnything':
      return undefined
    case 'reject':
      return 'images of this scope are rejected'
    case 'unsupported':
      return requirement.why
    case 'sigstoreSigned':
      return signedRefusal(requirement, candidate, looked)
    default:
      return requirement satisfies never
  }
}

async function signedRefusal(
  requirement: Extract<Requirement, { kind: 'sigstoreSigned' }>,
  { digests, client, reference, stallMs }: Candidate,
  { signatures, signal }: Looked,
): Promise<string | undefined> {
  const reasons: string[] = []
  for (const digest of new Set(digests)) {
    const found = signatures.get(digest) ?? (await fetchSignatures(client, digest, { signal, stallMs }))
    signatures.set(digest, found)
    for (const signature of found) {
      const reason = wrongWith(signature, requirement, { digest, reference })
      if (reason === undefined) return undefined
      reasons.push(reason)
    }
  }
  if (reasons.length === 0) return `a signature is required and ${[...new Set(digests)].join(' and ')} has none`
  const told = [...new Set(reasons)]
  return `none of ${reasons.length} signatures holds: ${told.slice(0, 5).join('; ')}${told.length > 5 ? '; …' : ''}`
}

// First whose it is, then what it says: a payload without a good signature is nobody's word.
function wrongWith(
  { payload, signature }: Signature,
  { keys, identity }: Extract<Requirement, { kind: 'sigstoreSigned' }>,
  { digest, reference }: { readonly digest: Digest; readonly reference: Reference },
): string | undefined {
  if (!keys.some((key) => isSignedBy(key, payload, signature))) return 'it was not made by a trusted key'
  const claim = tryClaim(payload)
  if (typeof claim === 'string') return `its payload is refused: ${claim}`
  if (claim.manifestDigest !== digest) return `it is of the image ${quote(claim.manifestDigest)}`
  if (!identityMatches(identity, reference, claim.dockerReference))
    return `it is for ${quote(claim.dockerReference)}, which does not match by ${identity.kind}`
  return undefined
}
