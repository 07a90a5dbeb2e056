// `docker-archive:`, what `docker save` writes and `docker load` reads: manifest.json, configs by digest, layers as plain tar.
import { createHash } from 'node:crypto'
import { invalid, notFound } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseJson } from '@coracle/base/parse-json'
import { type Digest, digestOf, hexOf } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { maxConfigBytes, parseImageConfig } from '@coracle/oci-spec/image-config'
import { listAt, objectAt, stringAt, stringsAt } from '@coracle/oci-spec/json-fields'
import { mediaTypes } from '@coracle/oci-spec/media-type'
import { parseReference, taggedName } from '@coracle/oci-spec/reference'
import { cleanPath } from '../tar/entry.ts'
import { sniff } from '../unpack/decompress.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { peek } from './compression.ts'
import { rawDocument } from './document.ts'
import type { ImageSource } from './image-transfer.ts'

export interface ArchivedImage {
  readonly config: string
  readonly repoTags: readonly string[]
  readonly layers: readonly string[]
}

const maxListBytes = 4 * 1024 * 1024
const maxImages = 1000
const maxLayers = 256

/** The images of an archive. Throws `invalid_argument` naming the field. */
export async function archivedImages(files: ArchiveFiles): Promise<readonly ArchivedImage[]> {
  const bytes = await files.read('manifest.json', maxListBytes)
  const list = listAt('manifest.json', parseJson('manifest.json', bytes, { maxBytes: maxListBytes, maxDepth: 32 }), maxImages)
  return list.map((value, i) => {
    const image = objectAt(`manifest.json[${i}]`, value)
    return {
      config: pathAt(`manifest.json[${i}].Config`, image['Config']),
      repoTags: stringsAt(`manifest.json[${i}].RepoTags`, image['RepoTags'], maxImages),
      layers: listAt(`manifest.json[${i}].Layers`, image['Layers'] ?? [], maxLayers).map((layer, n) =>
        pathAt(`manifest.json[${i}].Layers[${n}]`, layer),
      ),
    }
  })
}

const pathAt = (field: string, value: unknown): string =>
  cleanPath(Buffer.from(stringAt(field, value), 'utf8')).toString('latin1')

/** `wanted`: one of the RepoTags, `@N` for the Nth from 0; without it there must be one image only. */
export function chooseArchived(images: readonly ArchivedImage[], name: string, wanted: string | undefined): ArchivedImage {
  const index = /^@(\d{1,4})$/.exec(wanted ?? '')?.[1]
  const names = quote(images.map((image, i) => image.repoTags[0] ?? `@${i}`).join(', '))
  if (wanted === undefined && images.length !== 1)
    throw notFound(`${name} holds ${images.length} images: name one of ${names} after a colon`)
  const full = wanted === undefined || index !== undefined ? undefined : taggedName(parseReference(wanted))
  const found = images.find((image, i) =>
    wanted === undefined
      ? true
      : index !== undefined
        ? i === Number(index)
        : image.repoTags.some((tag) => tag === wanted || tag === full),
  )
  if (found === undefined) throw notFound(`${name}: no image of that name, there is ${names}`)
  return found
}

/** The archive has no manifest: one is made of its config, whose bytes and digest stay, and its layers as they are. */
export async function dockerArchiveSource(
  files: ArchiveFiles,
  { name, image }: { readonly name: string; readonly image: ArchivedImage },
): Promise<ImageSource> {
  const configBytes = await files.read(image.config, maxConfigBytes)
  const { diffIds } = parseImageConfig(configBytes)
  if (diffIds.length !== image.layers.length)
    throw invalid(`rootfs.diff_ids has ${diffIds.length} entries for ${image.layers.length} layers`)
  const paths = new Map<Digest, string>()
  const config: Descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.length }
  const layers: Descriptor[] = []
  for (const [i, path] of image.layers.entries()) {
    // As many as layers: checked above.
    const layer = await layerDescriptor(files, path, diffIds[i] as Digest)
    paths.set(layer.digest, path)
    layers.push(layer)
  }
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }
  const top = rawDocument(Buffer.from(JSON.stringify(manifest)), mediaTypes.ociManifest)
  return {
    name,
    top: async () => top,
    document: () => Promise.reject(notFound(`${name} has no index`)),
    async *blob({ digest }, signal) {
      if (digest === config.digest) yield configBytes
      else yield* files.stream(paths.get(digest) ?? '', signal)
    },
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  }
}

const layerType = 'application/vnd.oci.image.layer.v1.tar'

// Plain layers have their diffID as digest, which is proven when they are read. Compressed ones have to be hashed.
async function layerDescriptor(files: ArchiveFiles, path: string, diffId: Digest): Promise<Descriptor> {
  const signal = AbortSignal.timeout(3_600_000)
  const [start, content] = await peek(files.stream(path, signal))
  const kind = sniff(start)
  const size = files.size(path)
  if (kind === 'none') {
    await content.return(undefined)
    return { mediaType: layerType, digest: diffId, size }
  }
  const hash = createHash('sha256')
  for await (const chunk of content) hash.update(chunk)
  // The brand holds: a hash is what parseDigest would accept.
  return { mediaType: `${layerType}+${kind}`, digest: `sha256:${hash.digest('hex')}` as Digest, size }
}

export const configPath = (digest: Digest): string => `${hexOf(digest)}.json`
export const layerPath = (diffId: Digest): string => `${hexOf(diffId)}.tar`
