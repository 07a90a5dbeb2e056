// The images that are measured: busybox to run, 200 MB in five layers and 30,000 small files to pull. All made on the spot.
import { createCipheriv } from 'node:crypto'
import { busyboxLayer } from '@coracle/testkit/busybox-images'
import type { Registry } from '@coracle/testkit/registry'
import type { TarEntry } from '@coracle/testkit/tar'
import type { Options } from './options.ts'

export interface BenchImages {
  readonly busybox: string
  readonly pause: string
  /** Undefined when nothing asks for them. */
  readonly large: string | undefined
  readonly small: string | undefined
}

/** `registry` is called only when an image has to be made. */
export async function prepareImages(options: Options, registry: () => Promise<Registry>): Promise<BenchImages> {
  const given = options.images
  const pulls = options.scenarios.includes('pull')
  const make = async (name: string, layers: readonly (readonly TarEntry[])[], config: Record<string, unknown> = {}) => {
    const { host, push } = await registry()
    await push(`bench/${name}`, '1', { layers, config })
    return `${host}/bench/${name}:1`
  }
  const env = { Env: ['PATH=/bin:/usr/bin'] }
  return {
    busybox: given.busybox ?? (await make('busybox', [await busyboxLayer()], { ...env, Cmd: ['sh'] })),
    pause:
      given.pause ?? (await make('pause', [await busyboxLayer()], { ...env, Entrypoint: ['/bin/busybox', 'sleep', '31536000'] })),
    large: pulls ? (given.large ?? (await make('large', largeLayers()))) : undefined,
    small: pulls ? (given.small ?? (await make('small', [smallFiles()]))) : undefined,
  }
}

const MiB = 1024 * 1024

/** Five layers of 120 MiB; a third does not compress: some 200 MB to download, 600 MB to unpack. */
const largeLayers = (): TarEntry[][] => Array.from({ length: 5 }, (_, layer) => largeLayer(layer))

/** One of them. */
export function largeLayer(layer: number): TarEntry[] {
  return [
    { path: `layer${layer}`, type: 'directory' as const },
    ...Array.from({ length: 120 }, (_, file) => ({
      path: `layer${layer}/file${file}`,
      body: file % 3 === 0 ? noise(MiB, layer * 1000 + file) : text(MiB, layer * 1000 + file),
    })),
  ]
}

/** 300 directories with 100 files of up to 4 KiB each. */
export function smallFiles(): TarEntry[] {
  const entries: TarEntry[] = []
  for (let directory = 0; directory < 300; directory++) {
    entries.push({ path: `d${directory}`, type: 'directory' })
    for (let file = 0; file < 100; file++) {
      const sizeBytes = (directory * 131 + file * 977) % 4096
      entries.push({ path: `d${directory}/f${file}`, body: text(sizeBytes, directory * 100 + file) })
    }
  }
  return entries
}

/** The same bytes in every run. */
export function noise(sizeBytes: number, seed: number): Buffer {
  const iv = Buffer.alloc(16)
  iv.writeUInt32BE(seed)
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), iv).update(Buffer.alloc(sizeBytes))
}

/** Compresses about as well as programs and documents do. */
function text(sizeBytes: number, seed: number): Buffer {
  const words = noise(Math.ceil(sizeBytes / 8), seed)
  return Buffer.from(
    words
      .toString('hex')
      .replace(/(....)/g, '$1 the and of ')
      .slice(0, sizeBytes),
  )
}
