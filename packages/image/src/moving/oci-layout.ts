// An OCI image layout (image-spec, image-layout.md), read from a directory or an archive.
import { CodedError, notFound } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseJson } from '@coracle/base/parse-json'
import { algorithmOf, type Digest, hexOf } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { listAt, objectAt } from '@coracle/oci-spec/json-fields'
import { descriptorOf, maxManifestBytes } from '@coracle/oci-spec/manifest'
import { rawDocument } from './document.ts'
import type { ImageSource } from './image-transfer.ts'
import type { LayoutFiles } from './layout-files.ts'

export const refNameAnnotation = 'org.opencontainers.image.ref.name'
export const maxIndexBytes = 16 * 1024 * 1024

export const blobPath = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`

/** `files` is closed with the source. `refName`: the annotation to look for; without it there must be one image only. */
export function layoutSource(files: LayoutFiles, name: string, refName: string | undefined): ImageSource {
  const document = async ({ digest, mediaType, size }: Descriptor) => {
    const bytes = await files.read(blobPath(digest), maxManifestBytes)
    if (bytes.length !== size) throw new CodedError('data_loss', `manifest ${digest} has ${bytes.length} bytes, not ${size}`)
    return rawDocument(bytes, mediaType, digest)
  }
  return {
    name,
    async top() {
      return document(choose(await layoutEntries(files), name, refName))
    },
    document,
    blob: ({ digest }, signal) => files.stream(blobPath(digest), signal),
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  }
}

/** The entries of index.json. Throws `invalid_argument` when it is no layout of version 1. */
export async function layoutEntries(files: LayoutFiles): Promise<readonly Descriptor[]> {
  const marker = objectAt('oci-layout', parseJson('oci-layout', await files.read('oci-layout', 4096), { maxBytes: 4096 }))
  const version = marker['imageLayoutVersion']
  if (typeof version !== 'string' || !version.startsWith('1.'))
    throw new CodedError('unimplemented', `${files.place} is an image layout of version ${quote(String(version))}: expected 1`)
  const bytes = await files.read('index.json', maxIndexBytes)
  const index = objectAt('index.json', parseJson('index.json', bytes, { maxBytes: maxIndexBytes, maxDepth: 32 }))
  return listAt('index.json manifests', index['manifests'] ?? [], 10_000).map((entry, i) =>
    descriptorOf(`manifests[${i}]`, entry),
  )
}

export const refNameOf = (entry: Descriptor): string | undefined => entry.annotations?.[refNameAnnotation]

function choose(entries: readonly Descriptor[], name: string, refName: string | undefined): Descriptor {
  const names = entries.map((entry) => refNameOf(entry) ?? entry.digest).join(', ')
  if (refName === undefined) {
    const [only] = entries
    if (entries.length === 1 && only !== undefined) return only
    throw notFound(
      `${name} holds ${entries.length} images${entries.length > 0 ? `: name one of ${quote(names)} after a colon` : ''}`,
    )
  }
  const found = entries.filter((entry) => refNameOf(entry) === refName || entry.digest === refName)
  const [first] = found
  if (first === undefined) throw notFound(`${name}: no image of that name, there is ${quote(names)}`)
  if (found.some(({ digest }) => digest !== first.digest))
    throw new CodedError('failed_precondition', `${name}: ${found.length} images have that name`)
  return first
}
