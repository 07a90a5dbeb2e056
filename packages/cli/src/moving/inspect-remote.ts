// What a registry, directory or archive says about an image, without pulling it.
import { isObject, parseJson } from '@coracle/base/parse-json'
import type { JsonObject, JsonValue } from '@coracle/cri-api/json'
import { type Document, forPlatform, type ImageSource, parseDocument, type RawDocument, readBlob } from '@coracle/image/moving'
import type { Platform } from '@coracle/oci-spec/image'
import { maxConfigBytes } from '@coracle/oci-spec/image-config'
import { isImageConfig } from '@coracle/oci-spec/media-type'
import { formatPlatform } from '@coracle/oci-spec/platform'

export type Remote = {
  readonly name: string
  /** Of the index or manifest that the name stands for. */
  readonly digest: string
  readonly value: JsonObject
  readonly rows: readonly (readonly [string, string])[]
}

export async function inspectRemote(source: ImageSource, platform: Platform, signal: AbortSignal): Promise<Remote> {
  const top = await source.top(signal)
  const document = parseDocument(top)
  const platforms = platformsOf(document)
  const manifest = await forPlatform(source, top, { platform, signal })
  const parsed = parseDocument(manifest)
  // forPlatform never gives an index.
  if (parsed.kind === 'index') throw new Error('an index in an index was chosen')
  const config = isImageConfig(parsed.config.mediaType) ? await configOf(source, parsed, signal) : {}
  const size = parsed.config.size + parsed.layers.reduce((sum, layer) => sum + layer.size, 0)
  const value = {
    name: source.name,
    digest: top.digest,
    mediaType: top.mediaType,
    ...(platforms.length === 0 ? {} : { platforms, manifestDigest: manifest.digest }),
    id: parsed.config.digest,
    sizeBytes: size,
    layers: parsed.layers.map(({ mediaType, digest, size: sizeBytes }) => ({ mediaType, digest, sizeBytes })),
    config,
  }
  return { name: source.name, digest: top.digest, value, rows: rowsOf(top, { parsed, platforms, config, size }) }
}

const platformsOf = (document: Document): string[] =>
  document.kind === 'manifest'
    ? []
    : document.manifests.map((entry) => (entry.platform ? formatPlatform(entry.platform) : 'unnamed'))

async function configOf(source: ImageSource, manifest: Extract<Document, { kind: 'manifest' }>, signal: AbortSignal) {
  const bytes = await readBlob(source, manifest.config, { maxBytes: maxConfigBytes, signal })
  const config = parseJson('image config', bytes, { maxBytes: maxConfigBytes, maxDepth: 32 })
  // JSON that was just parsed is a JSON value.
  return (isObject(config) ? config : {}) as JsonObject
}

type Described = {
  readonly parsed: Extract<Document, { kind: 'manifest' }>
  readonly platforms: readonly string[]
  readonly config: JsonObject
  readonly size: number
}

function rowsOf(top: RawDocument, { parsed, platforms, config, size }: Described): Remote['rows'] {
  const text = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '')
  return [
    ['Digest', top.digest],
    ['ID', parsed.config.digest],
    ['Platform', platforms.length > 0 ? platforms.join(', ') : `${text(config['os'])}/${text(config['architecture'])}`],
    ['Created', text(config['created'])],
    ['Layers', String(parsed.layers.length)],
    ['Size', String(size)],
  ]
}
