import { isObject, parseJson } from '@coracle/base/parse-json'
import { type RawDocument, rawDocument } from '@coracle/image/moving'
import type { Descriptor } from '@coracle/oci-spec/image'
import { maxManifestBytes } from '@coracle/oci-spec/manifest'

/** The manifest with other layers: what it says besides stays, what it says of a changed layer (its annotations) goes. */
export function withNewLayers(manifest: RawDocument, layers: readonly Descriptor[]): RawDocument {
  const document = parseJson('manifest', manifest.bytes, { maxBytes: maxManifestBytes })
  const before = isObject(document) && Array.isArray(document['layers']) ? (document['layers'] as readonly unknown[]) : []
  const changed = layers.map((layer, i) => {
    const old = before[i]
    return isObject(old) && old['digest'] === layer.digest
      ? old
      : { mediaType: layer.mediaType, digest: layer.digest, size: layer.size }
  })
  const bytes = Buffer.from(JSON.stringify({ ...(isObject(document) ? document : {}), layers: changed }))
  return rawDocument(bytes, manifest.mediaType)
}
