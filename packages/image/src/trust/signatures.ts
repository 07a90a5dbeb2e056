// Signatures that cosign attaches to an image in its registry: a manifest at the tag `sha256-HEX.sig`, each of whose layers is a signed
// payload with its signature beside it (cosign's SIGNATURE_SPEC.md; the payload is containers-signature(5), atomic-signature JSON).
import { CodedError, explain } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseJson } from '@coracle/base/parse-json'
import type { Digest } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { objectAt, stringAt } from '@coracle/oci-spec/json-fields'
import { parseDocument } from '../moving/document.ts'
import { fetchDocument } from '../moving/registry-reading.ts'
import type { RegistryClient } from '../registry/client.ts'
import { RegistryError } from '../registry/errors.ts'
import { fetchBlob } from '../registry/manifests.ts'

export interface Signature {
  readonly payload: Buffer
  readonly signature: Buffer
}

export interface Claim {
  readonly manifestDigest: string
  readonly dockerReference: string
}

const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json'
const signatureAnnotation = 'dev.cosignproject.cosign/signature'
const claimType = 'cosign container image signature'
const maxSignatures = 64
const maxPayloadBytes = 256 * 1024
const maxSignatureCharacters = 16_384

/** The tag that holds the signatures of a manifest. */
export const signatureTag = (digest: Digest): string => `${digest.replace(':', '-')}.sig`

/** None when there is no such tag. Throws `resource_exhausted` for more than can be meant. */
export async function fetchSignatures(
  client: RegistryClient,
  digest: Digest,
  limits: { readonly signal: AbortSignal; readonly stallMs: number },
): Promise<readonly Signature[]> {
  const document = await fetchDocument(
    client,
    { name: signatureTag(digest), digest: undefined, stallMs: limits.stallMs },
    limits.signal,
  ).catch((err: unknown) => {
    if (err instanceof RegistryError && err.failure === 'not_found') return undefined
    throw err
  })
  if (document === undefined) return []
  const parsed = parseDocument(document)
  const layers = parsed.kind === 'manifest' ? parsed.layers : []
  if (layers.length > maxSignatures)
    throw new CodedError(
      'resource_exhausted',
      `image has ${layers.length} signatures, more than ${maxSignatures} are not looked at`,
    )
  const signatures: Signature[] = []
  for (const layer of layers) {
    const encoded = signatureOf(layer)
    if (encoded === undefined || layer.size > maxPayloadBytes) continue
    const payload = await fetchBlob(client, layer, { ...limits, maxBytes: maxPayloadBytes })
    signatures.push({ payload, signature: Buffer.from(encoded, 'base64') })
  }
  return signatures
}

function signatureOf({ mediaType, annotations }: Descriptor): string | undefined {
  const encoded = annotations?.[signatureAnnotation]
  const isOne = mediaType === payloadType && encoded !== undefined && encoded.length <= maxSignatureCharacters
  return isOne && /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? encoded : undefined
}

/** What a payload claims. Only after its signature has been verified is it anybody's word. Throws `invalid_argument`. */
export function parseClaim(payload: Buffer): Claim {
  const document = objectAt('payload', parseJson('payload', payload, { maxBytes: maxPayloadBytes, maxDepth: 16 }))
  const critical = objectAt('critical', document['critical'])
  const type = stringAt('critical.type', critical['type'])
  if (type !== claimType) throw new CodedError('invalid_argument', `critical.type ${quote(type)} must be ${quote(claimType)}`)
  for (const key of Object.keys(critical))
    if (!['type', 'image', 'identity'].includes(key))
      throw new CodedError('invalid_argument', `critical has the unknown key ${quote(key)}`)
  return {
    manifestDigest: stringAt(
      'critical.image.docker-manifest-digest',
      objectAt('critical.image', critical['image'])['docker-manifest-digest'],
    ),
    dockerReference: stringAt(
      'critical.identity.docker-reference',
      objectAt('critical.identity', critical['identity'])['docker-reference'],
    ),
  }
}

/** `parseClaim`, or why not. */
export function tryClaim(payload: Buffer): Claim | string {
  try {
    return parseClaim(payload)
  } catch (err) {
    return explain(err)
  }
}
