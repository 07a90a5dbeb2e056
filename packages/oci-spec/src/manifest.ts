// Manifests and indexes (image-spec manifest.md, image-index.md; Docker's schema 2), read strictly: a document is one thing or refused.
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject, type JsonObject, parseJson } from '@coracle/base/parse-json'
import { parseDigest } from './digest.ts'
import type { Descriptor, Index, Manifest, Platform } from './image.ts'
import { isAbsent, listAt, objectAt, optionalString, refuseDuplicateKeys, sizeAt, stringAt } from './json-fields.ts'
import { bareMediaType, documentKind, isImageConfig, isManifestType, layerKind, mediaTypes } from './media-type.ts'

/** Largest manifest or index, in bytes. */
export const maxManifestBytes = 4 * 1024 * 1024
const maxIndexEntries = 256
const maxLayers = 256

const keyFields = new Set(['schemaVersion', 'mediaType', 'config', 'layers', 'manifests', 'digest', 'size', 'platform'])

/**
 * Parses a manifest or an index. `contentType` is what the registry or the descriptor called it; undefined when nobody did.
 * Throws `invalid_argument` that says what is wrong, `unimplemented` for schema 1, artifacts and encrypted layers.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest | Index {
  const json = parseJson('manifest', bytes, { maxBytes: maxManifestBytes, maxDepth: 32 })
  refuseDuplicateKeys('manifest', Buffer.from(bytes).toString('utf8'), keyFields)
  const document = objectAt('manifest', json)
  const mediaType = agreedType(document, contentType)
  if (documentKind(mediaType) === 'schema1' || document['schemaVersion'] === 1)
    throw new CodedError(
      'unimplemented',
      'manifest schema 1 is not supported: the image must be pushed again with a current tool',
    )
  if (document['schemaVersion'] !== 2)
    throw invalid(`manifest.schemaVersion must be 2, not ${quote(String(document['schemaVersion']))}`)
  const hasIndex = !isAbsent(document['manifests'])
  const hasManifest = !isAbsent(document['layers']) || !isAbsent(document['config'])
  if (hasIndex && hasManifest)
    throw invalid('manifest has both manifests and layers or config: it is neither an index nor a manifest')
  const kind = documentKind(mediaType) ?? (hasIndex ? 'index' : 'manifest')
  if (kind === 'index') {
    if (hasManifest) throw invalid(`manifest of type ${mediaType} has layers or config`)
    return indexOf(document, mediaType ?? mediaTypes.ociIndex)
  }
  if (hasIndex) throw invalid(`manifest of type ${mediaType} has manifests`)
  return manifestOf(document, mediaType ?? mediaTypes.ociManifest)
}

// The type outside and the type inside must be one, where both say something.
function agreedType(document: JsonObject, contentType: string | undefined): string | undefined {
  const inside = bareMediaType(optionalString('manifest.mediaType', document['mediaType']))
  const outside = bareMediaType(contentType)
  if (inside !== undefined && documentKind(inside) === undefined) throw unknownType(inside)
  if (documentKind(outside) === undefined) {
    if (outside !== undefined && !isManifestType(outside)) throw unknownType(outside)
    return inside
  }
  if (inside !== undefined && inside !== outside)
    throw invalid(`manifest.mediaType ${quote(inside)} contradicts the type ${quote(outside ?? '')} it was served as`)
  return outside
}

const unknownType = (type: string): CodedError =>
  invalid(`manifest has the media type ${quote(type)}: expected an OCI or Docker schema 2 manifest or index`)

function indexOf(document: JsonObject, mediaType: string): Index {
  const manifests = listAt('manifest.manifests', document['manifests'], maxIndexEntries)
  return {
    kind: 'index',
    mediaType,
    manifests: manifests.map((entry, i) => descriptorOf(`manifest.manifests[${i}]`, entry)),
  }
}

function manifestOf(document: JsonObject, mediaType: string): Manifest {
  const artifactType = optionalString('manifest.artifactType', document['artifactType'])
  const config = descriptorOf('manifest.config', document['config'])
  if (!isImageConfig(config.mediaType))
    throw new CodedError(
      'unimplemented',
      `not a runnable image: an artifact of type ${quote(artifactType ?? config.mediaType)} with no image config`,
    )
  const layers = listAt('manifest.layers', document['layers'] ?? [], maxLayers).map((layer, i) =>
    descriptorOf(`manifest.layers[${i}]`, layer),
  )
  layers.forEach((layer, i) => {
    const kind = layerKind(layer.mediaType)
    if (kind === 'encrypted')
      throw new CodedError('unimplemented', `manifest.layers[${i}] is encrypted: decryption is not supported`)
    if (kind === 'unsupported')
      throw new CodedError(
        'unimplemented',
        `manifest.layers[${i}] has the media type ${quote(layer.mediaType)}: expected a tar layer`,
      )
  })
  return { kind: 'manifest', mediaType, config, layers }
}

/** Throws `invalid_argument` naming `path`. `urls` and `data` are not read: everything comes from the registry, checked by digest. */
export function descriptorOf(path: string, value: unknown): Descriptor {
  const descriptor = objectAt(path, value)
  const platform = descriptor['platform']
  return {
    mediaType: stringAt(`${path}.mediaType`, descriptor['mediaType']),
    digest: parseDigest(`${path}.digest`, descriptor['digest']),
    size: sizeAt(`${path}.size`, descriptor['size']),
    ...(isAbsent(platform) ? {} : { platform: platformOf(`${path}.platform`, platform) }),
    ...(isObject(descriptor['annotations']) ? { annotations: textsOf(descriptor['annotations']) } : {}),
  }
}

function platformOf(path: string, value: unknown): Platform {
  const platform = objectAt(path, value)
  const variant = optionalString(`${path}.variant`, platform['variant'])
  const osVersion = optionalString(`${path}.os.version`, platform['os.version'])
  // What leaves one of them out is for no machine, and no reason to refuse what else the index has.
  return {
    os: optionalString(`${path}.os`, platform['os']) ?? '',
    architecture: optionalString(`${path}.architecture`, platform['architecture']) ?? '',
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
  }
}

function textsOf(object: JsonObject): Readonly<Record<string, string>> {
  const pairs = Object.entries(object).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  // Without a prototype: `__proto__` is a name like any other.
  return Object.assign(Object.create(null) as Record<string, string>, Object.fromEntries(pairs))
}
