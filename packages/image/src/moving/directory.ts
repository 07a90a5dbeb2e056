// `dir:`, the plain form of skopeo: manifest.json, blobs by their hex digest, further manifests as HEX.manifest.json.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hexOf } from '@coracle/oci-spec/digest'
import { maxManifestBytes } from '@coracle/oci-spec/manifest'
import { claimDirectory } from './claim-directory.ts'
import { rawDocument } from './document.ts'
import type { ImageDestination, ImageSource } from './image-transfer.ts'
import { directoryFiles } from './layout-files.ts'
import { writeFileOf } from './write-file.ts'

const version = Buffer.from('Directory Transport Version: 1.1\n')

export function directorySource(directory: string): ImageSource {
  const files = directoryFiles(directory)
  return {
    name: `dir:${directory}`,
    top: async () => rawDocument(await files.read('manifest.json', maxManifestBytes), undefined),
    document: async ({ digest, mediaType }) =>
      rawDocument(await files.read(`${hexOf(digest)}.manifest.json`, maxManifestBytes), mediaType, digest),
    blob: ({ digest }, signal) => files.stream(hexOf(digest), signal),
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  }
}

export function directoryDestination(directory: string): ImageDestination {
  let claimed: Promise<void> | undefined
  const write = async (name: string, content: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    claimed ??= claimDirectory(directory, { name: 'version', content: version })
    await claimed
    await writeFileOf(join(directory, name), content)
  }
  return {
    name: `dir:${directory}`,
    async has({ digest, size }) {
      const info = await stat(join(directory, hexOf(digest))).catch(() => undefined)
      return info?.isFile() === true && info.size === size
    },
    writeBlob: ({ digest }, content) => write(hexOf(digest), content),
    writeDocument: ({ bytes, digest }, isTop) => write(isTop ? 'manifest.json' : `${hexOf(digest)}.manifest.json`, [bytes]),
    async commit() {},
    async [Symbol.asyncDispose]() {},
  }
}
