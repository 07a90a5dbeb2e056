// A manifest or index as a copy sees it: what it refers to. Artifacts and attestations are copied too, so media types are not judged.
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseJson } from '@coracle/base/parse-json'
import { type Digest, digestOf } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { isAbsent, listAt, objectAt, optionalString, refuseDuplicateKeys } from '@coracle/oci-spec/json-fields'
import { descriptorOf, maxManifestBytes } from '@coracle/oci-spec/manifest'
import { bareMediaType, documentKind, mediaTypes } from '@coracle/oci-spec/media-type'
import { digestIn } from '../registry/manifests.ts'
import type { RawDocument } from './image-transfer.ts'

export type Document =
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] }
  | { readonly kind: 'manifest'; readonly config: Descriptor; readonly layers: readonly Descriptor[] }

const maxEntries = 1000
const keyFields = new Set(['schemaVersion', 'mediaType', 'config', 'layers', 'manifests', 'digest', 'size', 'platform'])

/**
 * Gives bytes their media type (what they say themselves, else `served`, else by their shape) and digest.
 * Throws `invalid_argument` for what is neither index nor manifest, `data_loss` when `wanted` is another digest.
 */
export function rawDocument(bytes: Buffer, served: string | undefined, wanted?: Digest): RawDocument {
  const digest = wanted === undefined ? digestOf(bytes) : digestIn(bytes, wanted)
  if (wanted !== undefined && digest !== wanted)
    throw new CodedError('data_loss', `manifest has the digest ${digest}, not ${wanted}`)
  const document = documentObject(bytes)
  const inside = bareMediaType(optionalString('manifest.mediaType', document['mediaType']))
  const outside = documentKind(served) === undefined ? undefined : bareMediaType(served)
  if (inside !== undefined && outside !== undefined && inside !== outside)
    throw invalid(`manifest.mediaType ${quote(inside)} contradicts the type ${quote(outside)} it was served as`)
  const byShape = isAbsent(document['manifests']) ? mediaTypes.ociManifest : mediaTypes.ociIndex
  return { bytes, digest, mediaType: inside ?? outside ?? byShape }
}

/** Throws `invalid_argument` that says what is wrong, `unimplemented` for schema 1. */
export function parseDocument({ bytes, mediaType }: RawDocument): Document {
  const document = documentObject(bytes)
  if (documentKind(mediaType) === 'schema1' || document['schemaVersion'] === 1)
    throw new CodedError('unimplemented', 'manifest schema 1 is not supported')
  const hasIndex = !isAbsent(document['manifests'])
  const hasManifest = !isAbsent(document['config']) || !isAbsent(document['layers'])
  if (hasIndex === hasManifest)
    throw invalid('manifest has both or neither of manifests and config: it is no index and no manifest')
  if (documentKind(mediaType) !== undefined && (documentKind(mediaType) === 'index') !== hasIndex)
    throw invalid(`manifest is not what its media type ${quote(mediaType)} says`)
  const descriptors = (field: string) =>
    listAt(`manifest.${field}`, document[field] ?? [], maxEntries).map((entry, i) =>
      descriptorOf(`manifest.${field}[${i}]`, entry),
    )
  if (hasIndex) return { kind: 'index', manifests: descriptors('manifests') }
  return { kind: 'manifest', config: descriptorOf('manifest.config', document['config']), layers: descriptors('layers') }
}

function documentObject(bytes: Buffer) {
  const json = parseJson('manifest', bytes, { maxBytes: maxManifestBytes, maxDepth: 32 })
  refuseDuplicateKeys('manifest', bytes.toString('utf8'), keyFields)
  return objectAt('manifest', json)
}
