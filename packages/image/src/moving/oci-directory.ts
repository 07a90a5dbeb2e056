// An OCI image layout in a directory, written: blobs first, each complete before it has its name; index.json last, in one step.
import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '@coracle/base/errors'
import type { Digest } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { mediaTypes } from '@coracle/oci-spec/media-type'
import { claimDirectory } from './claim-directory.ts'
import type { ImageDestination, RawDocument } from './image-transfer.ts'
import { directoryFiles } from './layout-files.ts'
import { blobPath, layoutEntries, refNameAnnotation, refNameOf } from './oci-layout.ts'
import { writeFileOf } from './write-file.ts'

/** Adds to the layout in `directory`, or begins one. An image of the same name is replaced there; its blobs stay. */
export function ociDirectoryDestination(directory: string, name: string, refName: string | undefined): ImageDestination {
  let top: RawDocument | undefined
  let claimed: Promise<void> | undefined
  const write = async (digest: Digest, content: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    claimed ??= claimDirectory(directory, { name: 'oci-layout', content: layoutMarker })
    await claimed
    const path = join(directory, blobPath(digest))
    await mkdir(dirname(path), { recursive: true })
    await writeFileOf(path, content)
  }
  return {
    name,
    async has({ digest, size }) {
      const info = await stat(join(directory, blobPath(digest))).catch(() => undefined)
      return info?.isFile() === true && info.size === size
    },
    writeBlob: ({ digest }, content) => write(digest, content),
    async writeDocument(document, isTop) {
      await write(document.digest, [document.bytes])
      if (isTop) top = document
    },
    async commit() {
      if (top === undefined) return
      const entries = await existing(directory)
      const own = indexEntry(top, refName)
      const others = entries.filter((entry) => refNameOf(entry) !== refName)
      await writeFileOf(join(directory, 'index.json'), [layoutIndex([...others, own])])
    },
    async [Symbol.asyncDispose]() {},
  }
}

export const layoutMarker = Buffer.from('{"imageLayoutVersion":"1.0.0"}')

export const indexEntry = ({ mediaType, digest, bytes }: RawDocument, refName: string | undefined): Descriptor => ({
  mediaType,
  digest,
  size: bytes.length,
  ...(refName === undefined ? {} : { annotations: { [refNameAnnotation]: refName } }),
})

export const layoutIndex = (manifests: readonly Descriptor[]): Buffer =>
  Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }))

async function existing(directory: string): Promise<readonly Descriptor[]> {
  try {
    return await layoutEntries(directoryFiles(directory))
  } catch (err) {
    if (codeOf(err) === 'not_found') return []
    throw err
  }
}
