// `oci-archive:`, an OCI image layout in a tar file, written.
import type { Descriptor } from '@coracle/oci-spec/image'
import { ArchiveWriter } from './archive-writer.ts'
import type { ImageDestination } from './image-transfer.ts'
import { indexEntry, layoutIndex, layoutMarker } from './oci-directory.ts'
import { blobPath } from './oci-layout.ts'

/** Several images may go in one after the other, each `ImageDestination` of the same archive naming one. */
export class OciArchive implements AsyncDisposable {
  readonly #writer: ArchiveWriter
  readonly #entries: Descriptor[] = []

  constructor(writer: ArchiveWriter) {
    this.#writer = writer
  }

  static async open(path: string): Promise<OciArchive> {
    return new OciArchive(await ArchiveWriter.open(path))
  }

  image(name: string, refName: string | undefined): ImageDestination {
    const writer = this.#writer
    return {
      name,
      has: async ({ digest }) => writer.has(blobPath(digest)),
      async writeBlob({ digest }, content, signal) {
        await writer.add(blobPath(digest), content, signal)
      },
      writeDocument: async (document, isTop, signal) => {
        const path = blobPath(document.digest)
        if (!writer.has(path)) await writer.add(path, [document.bytes], signal)
        if (isTop) this.#entries.push(indexEntry(document, refName))
      },
      async commit() {},
      async [Symbol.asyncDispose]() {},
    }
  }

  async commit(signal: AbortSignal): Promise<void> {
    await this.#writer.add('oci-layout', [layoutMarker], signal)
    await this.#writer.add('index.json', [layoutIndex(this.#entries)], signal)
    await this.#writer.commit()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#writer[Symbol.asyncDispose]()
  }
}
