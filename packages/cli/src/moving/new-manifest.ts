import { isObject, parseJson } from '@coracle/base/parse-json'
import { type RawDocument, rawDocument } from '@coracle/image/moving'
import type { Descriptor } from '@coracle/oci-spec/image'
import { maxManifestBytes } from '@coracle/oci-spec/manifest'
import { mediaTypes } from '@coracle/oci-spec/media-type'

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

/**
 * Docker's manifest by OCI's media types; others as they are. Blobs and config stay, and with it the image id. In an image layout skopeo,
 * podman and umoci look for nothing else.
 */
export function inOciTypes(manifest: RawDocument): RawDocument {
  if (manifest.mediaType !== mediaTypes.dockerManifest) return manifest
  const document = parseJson('manifest', manifest.bytes, { maxBytes: maxManifestBytes })
  const renamed = (descriptor: unknown) =>
    isObject(descriptor) ? { ...descriptor, mediaType: ociTypeOf(String(descriptor['mediaType'])) } : descriptor
  const { config, layers } = isObject(document) ? document : {}
  const types = {
    mediaType: mediaTypes.ociManifest,
    config: renamed(config),
    layers: Array.isArray(layers) ? layers.map(renamed) : [],
  }
  const bytes = Buffer.from(JSON.stringify({ ...(isObject(document) ? document : {}), ...types }))
  return rawDocument(bytes, mediaTypes.ociManifest)
}

function ociTypeOf(type: string): string {
  if (type === mediaTypes.dockerConfig) return mediaTypes.ociConfig
  const [, foreign, compression] =
    /^application\/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(?:\.(gzip|zstd))?$/.exec(type) ?? []
  if (!type.startsWith('application/vnd.docker.image.rootfs.')) return type
  return `application/vnd.oci.image.layer.${foreign ? 'nondistributable.' : ''}v1.tar${compression ? `+${compression}` : ''}`
}
