// Signs as cosign does with a key: the payload as a blob, its signature as an annotation, at the tag `sha256-HEX.sig`.
import { createHash, type KeyObject, sign } from 'node:crypto'

export const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json'

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export const payloadFor = (reference: string, digest: string): Buffer =>
  Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': reference },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
      },
      optional: { creator: 'test' },
    }),
  )

export const signatureBy = (key: KeyObject, payload: Buffer): string =>
  sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key).toString('base64')

export interface Attached {
  readonly payload: Buffer
  readonly signature: string
}

/** Puts the signatures where the verifier looks for those of `digest`. */
export async function attach(host: string, repository: string, digest: string, signatures: readonly Attached[]): Promise<void> {
  const base = `http://${host}/v2/${repository}`
  const put = async (bytes: Buffer) => {
    const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST' })
    const url = new URL(begun.headers.get('location') ?? '', base)
    url.searchParams.set('digest', sha256(bytes))
    const headers = { 'content-type': 'application/octet-stream' }
    const done = await fetch(url, { method: 'PUT', body: new Uint8Array(bytes), headers })
    if (done.status !== 201) throw new Error(`blob: ${done.status}`)
  }
  const config = Buffer.from('{}')
  for (const bytes of [config, ...signatures.map(({ payload }) => payload)]) await put(bytes)
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
    layers: signatures.map(({ payload, signature }) => ({
      mediaType: payloadType,
      digest: sha256(payload),
      size: payload.length,
      annotations: { 'dev.cosignproject.cosign/signature': signature },
    })),
  }
  const stored = await fetch(`${base}/manifests/${digest.replace(':', '-')}.sig`, {
    method: 'PUT',
    body: JSON.stringify(manifest),
    headers: { 'content-type': manifest.mediaType },
  })
  if (stored.status !== 201) throw new Error(`signature manifest: ${stored.status} ${await stored.text()}`)
}
