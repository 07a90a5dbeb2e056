// An image of one layer, made of a tar archive of a root file system.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { CodedError } from '@coracle/base/errors'
import { append, decompressed, type ImageSource, nameless, rawDocument, sniffStream, verified } from '@coracle/image/moving'
import { type Digest, digestOf } from '@coracle/oci-spec/digest'
import type { Descriptor, Platform } from '@coracle/oci-spec/image'
import { mediaTypes } from '@coracle/oci-spec/media-type'

export type ImportOptions = {
  /** `-`: standard input. */
  readonly path: string
  readonly platform: Platform
  /** The `config` object of the image config. */
  readonly config: Readonly<Record<string, unknown>>
  readonly message: string | undefined
}

/** The archive is taken as it is, compressed or not. Throws `invalid_argument` for other compressions than gzip and zstd. */
export async function rootfsSource(options: ImportOptions): Promise<ImageSource> {
  const file = await openRootfs(options.path)
  try {
    const layer = await layerOf(file)
    const created = new Date().toISOString()
    const config = Buffer.from(
      JSON.stringify({
        created,
        architecture: options.platform.architecture,
        os: options.platform.os,
        ...(options.platform.variant === undefined ? {} : { variant: options.platform.variant }),
        config: options.config,
        rootfs: { type: 'layers', diff_ids: [layer.diffId] },
        history: [
          { created, created_by: 'coracle import', ...(options.message === undefined ? {} : { comment: options.message }) },
        ],
      }),
    )
    const configDescriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length }
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: configDescriptor, layers: [layer.descriptor] }
    const top = rawDocument(Buffer.from(JSON.stringify(manifest)), mediaTypes.ociManifest)
    return {
      name: options.path,
      top: async () => top,
      document: () => Promise.reject(new Error('there is no index')),
      async *blob(descriptor) {
        if (descriptor.digest === configDescriptor.digest) yield config
        else yield* verified(descriptor, contentOf(file))
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (err) {
    await file.close()
    throw err
  }
}

const contentOf = (file: FileHandle): AsyncIterable<Buffer> =>
  createReadStream('', { fd: file.fd, start: 0, autoClose: false, highWaterMark: 1024 * 1024 })

async function layerOf(file: FileHandle): Promise<{ diffId: Digest; descriptor: Descriptor }> {
  const blobHash = createHash('sha256')
  const plainHash = createHash('sha256')
  let size = 0
  const seen = async function* () {
    for await (const chunk of contentOf(file)) {
      blobHash.update(chunk)
      size += chunk.length
      yield chunk
    }
  }
  const [compression, content] = await sniffStream(seen())
  for await (const chunk of decompressed(content)) plainHash.update(chunk)
  const mediaType = `application/vnd.oci.image.layer.v1.tar${compression === 'none' ? '' : `+${compression}`}`
  // The brands hold: a hash is what parseDigest would accept.
  const [blob, plain] = [blobHash, plainHash].map((hash) => `sha256:${hash.digest('hex')}` as Digest) as [Digest, Digest]
  return { diffId: plain, descriptor: { mediaType, digest: blob, size } }
}

/** What can be read only once is spooled. */
async function openRootfs(path: string): Promise<FileHandle> {
  if (path === '-') return spool(process.stdin)
  const file = await open(path, 'r')
  const info = await file.stat()
  if (info.isFile()) return file
  await using _file = file
  if (info.isDirectory()) throw new CodedError('invalid_argument', `${path} is a directory: expected an archive`)
  return await spool(createReadStream('', { fd: file.fd, autoClose: false }))
}

async function spool(input: AsyncIterable<Buffer>): Promise<FileHandle> {
  const file = await nameless()
  try {
    for await (const chunk of input) await append(file, chunk)
    return file
  } catch (err) {
    await file.close()
    throw err
  }
}
