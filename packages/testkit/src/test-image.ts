// Images made in memory: layers as tar entries, a config, and the manifests around them (OCI image-spec 1.1, Docker schema 2).
import { createHash } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type TarEntry, tar } from './tar.ts'

export interface ImageSource {
  /** A Buffer is an archive as it is. */
  readonly layers: readonly (readonly TarEntry[] | Buffer)[]
  /** The `config` object of the image config: Cmd, Entrypoint, Env, User, … */
  readonly config?: Readonly<Record<string, unknown>>
  readonly compression?: 'gzip' | 'zstd' | 'none'
  /** `docker`: the media types of Docker's schema 2. */
  readonly format?: 'oci' | 'docker'
  /** An index around it that names an image of another architecture first. */
  readonly index?: boolean
}

export interface BuiltImage {
  readonly blobs: readonly Buffer<ArrayBuffer>[]
  /** In the order to push; the last one is what a tag refers to. */
  readonly manifests: readonly { readonly mediaType: string; readonly bytes: Buffer<ArrayBuffer> }[]
  /** Digest of the config. */
  readonly id: string
}

const mediaTypes = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: { gzip: 'tar+gzip', zstd: 'tar+zstd', none: 'tar' },
    layerPrefix: 'application/vnd.oci.image.layer.v1.',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: { gzip: 'tar.gzip', zstd: 'tar.zstd', none: 'tar' },
    layerPrefix: 'application/vnd.docker.image.rootfs.diff.',
  },
} as const

const compressors = {
  gzip: (bytes: Buffer) => Buffer.from(gzipSync(bytes, { level: 1 })),
  zstd: (bytes: Buffer) => Buffer.from(zstdCompressSync(bytes)),
  none: (bytes: Buffer) => Buffer.from(bytes),
}

const goArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export function buildImage(source: ImageSource): BuiltImage {
  const types = mediaTypes[source.format ?? 'oci']
  const compression = source.compression ?? 'gzip'
  const archives = source.layers.map((layer) => (Buffer.isBuffer(layer) ? layer : tar(layer)))
  const layers = archives.map((archive) => compressors[compression](archive))
  const ours = goArchitectures[process.arch] ?? process.arch
  const forArchitecture = (architecture: string) => {
    const rootfs = { type: 'layers', diff_ids: archives.map(sha256) }
    const config = json({ architecture, os: 'linux', created: '2024-01-01T00:00:00Z', config: source.config ?? {}, rootfs })
    const layerType = `${types.layerPrefix}${types.layer[compression]}`
    const bytes = json({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: descriptor(types.config, config),
      layers: layers.map((layer) => descriptor(layerType, layer)),
    })
    return { architecture, config, manifest: { mediaType: types.manifest as string, bytes } }
  }
  const own = forArchitecture(ours)
  const id = sha256(own.config)
  if (!source.index) return { blobs: [...layers, own.config], manifests: [own.manifest], id }
  const variants = [forArchitecture(ours === 'amd64' ? 'arm64' : 'amd64'), own]
  const manifests = variants.map(({ architecture, manifest }) => ({
    ...descriptor(types.manifest, manifest.bytes),
    platform: { os: 'linux', architecture },
  }))
  const index = { mediaType: types.index, bytes: json({ schemaVersion: 2, mediaType: types.index, manifests }) }
  return {
    blobs: [...layers, ...variants.map(({ config }) => config)],
    manifests: [...variants.map(({ manifest }) => manifest), index],
    id,
  }
}

const json = (value: unknown): Buffer<ArrayBuffer> => Buffer.from(JSON.stringify(value))

const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: sha256(bytes), size: bytes.length })
