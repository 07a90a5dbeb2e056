// The images that are pulled. Layers are made and pushed one at a time, as the largest image would not fit into memory whole.
import { createHash } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { type TarEntry, tar } from '@coracle/testkit/tar'
import { largeLayer, noise, smallFiles } from '../images.ts'

export interface PullCase {
  readonly name: string
  /** Repository and tag. */
  readonly image: string
  /** The same layers, about half of them: pulled before, where half is to be there. */
  readonly half?: string
  /** Wall time of Coracle to containerd's that we mean to reach. */
  readonly goal?: number
}

type Compression = 'gzip' | 'zstd'
type LayerMaker = () => TarEntry[]

const MiB = 1024 * 1024

export const cases: Readonly<Record<'a' | 'b' | 'c' | 'd', PullCase>> = {
  a: { name: '(a) 200 MB in 5 gzip layers', image: 'bench/a:1', half: 'bench/a:half', goal: 0.4 },
  b: { name: '(b) 30,000 small files', image: 'bench/b:1', goal: 0.5 },
  c: { name: '(c) 1 GB in 20 gzip layers', image: 'bench/c:1', half: 'bench/c:half', goal: 0.4 },
  d: { name: '(d) 200 MB in 5 zstd layers', image: 'bench/d:1', half: 'bench/d:half', goal: 0.5 },
}

/** Images of one layer each, none shared. */
export const parallelImages = Array.from({ length: 8 }, (_, i) => `bench/p${i}:1`)

/** Two layers of 16 MiB that do not compress. */
export const networkImage = 'bench/net:1'

const large =
  (i: number): LayerMaker =>
  () =>
    largeLayer(i)
const range = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

const recipes: Readonly<Record<string, { layers: readonly LayerMaker[]; compression?: Compression }>> = {
  'bench/a:1': { layers: range(5, large) },
  'bench/a:half': { layers: range(2, large) },
  'bench/b:1': { layers: [smallFiles] },
  'bench/c:1': { layers: range(20, large) },
  'bench/c:half': { layers: range(10, large) },
  'bench/d:1': { layers: range(5, large), compression: 'zstd' },
  'bench/d:half': { layers: range(2, large), compression: 'zstd' },
  [networkImage]: { layers: range(2, (i) => () => [{ path: `noise${i}`, body: noise(16 * MiB, 9000 + i) }]) },
  ...Object.fromEntries(
    parallelImages.map((image, i) => [
      image,
      { layers: [() => range(24, (file) => ({ path: `p${i}-${file}`, body: noise(MiB, 10_000 + i * 100 + file) }))] },
    ]),
  ),
}

interface PushedLayer {
  readonly descriptor: { readonly mediaType: string; readonly digest: string; readonly size: number }
  readonly diffId: string
}

/** Makes and pushes images to the registry at `host`. A layer of several images is made once. */
export function createPusher(host: string): (image: string) => Promise<void> {
  const made = new Map<string, PushedLayer>()
  const layerOf = async (repository: string, image: string, index: number): Promise<PushedLayer> => {
    const { layers, compression = 'gzip' } = recipes[image] as (typeof recipes)[string]
    const key = `${image.replace(/:.*/, '').replace('bench/c', 'bench/a')} ${compression} ${index}`
    const known = made.get(key)
    if (known !== undefined && (await has(host, repository, known.descriptor.digest))) return known
    const archive = tar((layers[index] as LayerMaker)())
    const blob = compression === 'gzip' ? gzipSync(archive, { level: 1 }) : zstdCompressSync(archive)
    const mediaType = `application/vnd.oci.image.layer.v1.tar+${compression}`
    const descriptor = { mediaType, digest: await pushBlob(host, repository, blob), size: blob.length }
    const layer = { descriptor, diffId: sha256(archive) }
    made.set(key, layer)
    return layer
  }
  return async (image) => {
    const [repository = '', tag = ''] = image.split(':')
    const layers: PushedLayer[] = []
    for (const index of recipes[image]?.layers.keys() ?? []) layers.push(await layerOf(repository, image, index))
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
    const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) }
    const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: { Cmd: ['/none'] }, rootfs }))
    const digest = await pushBlob(host, repository, config)
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const body = JSON.stringify({
      ...{ schemaVersion: 2, mediaType },
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length },
      layers: layers.map(({ descriptor }) => descriptor),
    })
    const headers = { 'content-type': mediaType }
    await expectStatus(fetch(`http://${host}/v2/${repository}/manifests/${tag}`, { method: 'PUT', body, headers }), 201)
  }
}

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

const has = async (host: string, repository: string, digest: string): Promise<boolean> =>
  (await fetch(`http://${host}/v2/${repository}/blobs/${digest}`, { method: 'HEAD' })).ok

async function pushBlob(host: string, repository: string, bytes: Buffer<ArrayBuffer>): Promise<string> {
  const digest = sha256(bytes)
  if (await has(host, repository, digest)) return digest
  const url = `http://${host}/v2/${repository}/blobs/uploads/`
  const upload = await expectStatus(fetch(url, { method: 'POST' }), 202)
  const location = new URL(upload.headers.get('location') ?? '', url)
  location.searchParams.set('digest', digest)
  const headers = { 'content-type': 'application/octet-stream' }
  await expectStatus(fetch(location, { method: 'PUT', body: bytes, headers }), 201)
  return digest
}

async function expectStatus(reply: Promise<Response>, status: number): Promise<Response> {
  const response = await reply
  if (response.status !== status) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
  return response
}
