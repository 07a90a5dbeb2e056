// `docker-archive:`, written: layers without compression under their diffIDs, one manifest.json at the end.
import { createHash } from 'node:crypto'
import { CodedError } from '@coracle/base/errors'
import type { Digest } from '@coracle/oci-spec/digest'
import { isImageConfig } from '@coracle/oci-spec/media-type'
import { ArchiveWriter } from './archive-writer.ts'
import { decompressed } from './compression.ts'
import { configPath, layerPath } from './docker-archive.ts'
import { parseDocument } from './document.ts'
import type { ImageDestination } from './image-transfer.ts'

interface Entry {
  readonly Config: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

/** Several images may go in one after the other. */
export class DockerArchive implements AsyncDisposable {
  readonly #writer: ArchiveWriter
  readonly #entries: Entry[] = []
  /** The file of each layer, by the digest of its blob. */
  readonly #files = new Map<Digest, string>()

  constructor(writer: ArchiveWriter) {
    this.#writer = writer
  }

  static async open(path: string): Promise<DockerArchive> {
    return new DockerArchive(await ArchiveWriter.open(path))
  }

  /** `repoTags`: full names with tags, which `docker load` gives the image. */
  image(name: string, repoTags: readonly string[]): ImageDestination {
    return {
      name,
      has: async ({ digest }) => this.#files.has(digest),
      writeBlob: (blob, content, signal) =>
        isImageConfig(blob.mediaType) ? this.#config(blob.digest, content, signal) : this.#layer(blob.digest, content, signal),
      writeDocument: async (document) => {
        const parsed = parseDocument(document)
        if (parsed.kind === 'index')
          throw new CodedError('invalid_argument', `${name} cannot hold an index: copy one platform, or to oci-archive:`)
        if (!isImageConfig(parsed.config.mediaType))
          throw new CodedError('invalid_argument', `${name} cannot hold an artifact of type ${parsed.config.mediaType}`)
        const file = (digest: Digest) => this.#files.get(digest) ?? ''
        this.#entries.push({
          Config: file(parsed.config.digest),
          RepoTags: repoTags,
          Layers: parsed.layers.map((layer) => file(layer.digest)),
        })
      },
      async commit() {},
      async [Symbol.asyncDispose]() {},
    }
  }

  async #config(digest: Digest, content: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    await this.#writer.add(configPath(digest), content, signal)
    this.#files.set(digest, configPath(digest))
  }

  async #layer(digest: Digest, content: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    const hash = createHash('sha256')
    const plain = async function* () {
      for await (const chunk of decompressed(content)) {
        hash.update(chunk)
        yield chunk
      }
    }
    const name = () => layerPath(`sha256:${hash.digest('hex')}` as Digest)
    this.#files.set(digest, await this.#writer.addNamed(plain(), name, signal))
  }

  async commit(signal: AbortSignal): Promise<void> {
    await this.#writer.add('manifest.json', [Buffer.from(JSON.stringify(this.#entries))], signal)
    await this.#writer.commit()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#writer[Symbol.asyncDispose]()
  }
}
