// Media types of image-spec 1.1 (media-types.md) and their Docker forebears. Parameters and case do not count.

export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
} as const

/** What to ask a registry for, in order of preference. */
export const acceptedManifests = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
].join(', ')

/** The bare type, lower case, without parameters; undefined when empty. */
export function bareMediaType(text: string | undefined): string | undefined {
  const bare = (text ?? '').split(';', 1)[0]?.trim().toLowerCase()
  return bare === '' ? undefined : bare
}

export type DocumentKind = 'index' | 'manifest' | 'schema1'

/** What a document of this media type is; undefined for a type that says nothing (`application/json`, an artifact's own). */
export function documentKind(mediaType: string | undefined): DocumentKind | undefined {
  switch (bareMediaType(mediaType)) {
    case mediaTypes.ociIndex:
    case mediaTypes.dockerIndex:
      return 'index'
    case mediaTypes.ociManifest:
    case mediaTypes.dockerManifest:
      return 'manifest'
    case 'application/vnd.docker.distribution.manifest.v1+json':
    case 'application/vnd.docker.distribution.manifest.v1+prettyjws':
      return 'schema1'
    default:
      return undefined
  }
}

// What file servers say of anything: `binary/octet-stream` is that of object stores.
const silentTypes = ['application/json', 'text/plain', 'application/octet-stream', 'binary/octet-stream']

/** Whether something served with this type may be a manifest or an index: it says so, or says nothing. */
export function isManifestType(contentType: string | undefined): boolean {
  const bare = bareMediaType(contentType)
  return bare === undefined || documentKind(bare) !== undefined || silentTypes.includes(bare)
}

export const isImageConfig = (mediaType: string): boolean => {
  const bare = bareMediaType(mediaType)
  return bare === mediaTypes.ociConfig || bare === mediaTypes.dockerConfig
}

export type LayerKind = 'tar' | 'encrypted' | 'unsupported'

const tarLayers = new Set([
  'application/vnd.oci.image.layer.v1.tar',
  'application/vnd.oci.image.layer.v1.tar+gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd',
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  'application/vnd.docker.image.rootfs.diff.tar',
  'application/vnd.docker.image.rootfs.diff.tar.gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd',
  'application/vnd.docker.image.rootfs.foreign.diff.tar',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
])

/** Whether a layer of this type is a tar stream (its compression is told by its first bytes, not by its type). */
export function layerKind(mediaType: string): LayerKind {
  const bare = bareMediaType(mediaType) ?? ''
  if (bare.endsWith('+encrypted')) return 'encrypted'
  return tarLayers.has(bare) ? 'tar' : 'unsupported'
}
