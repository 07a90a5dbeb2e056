// An OCI image layout in a directory, written: blobs first, each complete before it has its name; index.json last, in one step.
import { randomBytes } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isErrno } from '@coracle/base/errno'
import { codeOf } from '@coracle/base/errors'
import { makeDirectories } from '@coracle/base/make-directories'
import type { Descriptor } from '@coracle/oci-spec/image'
import { mediaTypes } from '@coracle/oci-spec/media-type'
import type { ImageDestination, RawDocument } from './image-transfer.ts'
import { directoryFiles } from './layout-files.ts'
import { blobPath, layoutEntries, refNameAnnotation, refNameOf } from './oci-layout.ts'

/** Adds to the layout in `directory`, or begins one. An image of the same name is replaced there; its blobs stay. */
export function ociDirectoryDestination(directory: string, name: string, refName: string | undefined): ImageDestination {
  let top: RawDocument | undefined
  return {
    name,
    async has({ digest, size }) {
      const info = await stat(join(directory, blobPath(digest))).catch(() => undefined)
      return info?.isFile() === true && info.size === size
    },
    writeBlob: ({ digest }, content) => writeFileOf(join(directory, blobPath(digest)), content),
    async writeDocument(document, isTop) {
      await writeFileOf(join(directory, blobPath(document.digest)), [document.bytes])
      if (isTop) top = document
    },
    async commit() {
      if (top === undefined) return
      const entries = await existing(directory)
      const own = indexEntry(top, refName)
      const others = entries.filter((entry) => refNameOf(entry) !== refName)
      await writeFileOf(join(directory, 'oci-layout'), [layoutMarker])
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

/** The old file or the new one, whatever happens. Throws what `content` throws. */
export async function writeFileOf(path: string, content: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
  const directory = dirname(path)
  makeDirectories(directory, 0o777)
  const temporary = join(directory, `.coracle-${randomBytes(8).toString('hex')}`)
  try {
    await using file = await open(temporary, 'wx', 0o644)
    for await (const chunk of content) await file.writeFile(chunk)
    await file.datasync()
    await rename(temporary, path)
  } catch (err) {
    await rm(temporary, { force: true }).catch((late: unknown) => {
      if (!isErrno(late, 'ENOENT')) throw late
    })
    throw err
  }
}
