// Coracle's own addition beside the CRI: images into the store and out of it. Clients send bytes, never paths.
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Moving } from '@coracle/cri-api/moving'
import { parseDigest } from '@coracle/oci-spec/digest'
import { parseReference } from '@coracle/oci-spec/reference'
import type { RouteDeps } from './deps.ts'
import type { Handlers } from './service.ts'

const maxWriteBytes = 4 * 1024 * 1024
const maxNames = 64
const batchBytes = 1024 * 1024
const transportPattern = /^[a-z][a-z0-9-]{0,31}$/

/** Imports are closed when `closing` aborts. */
export const movingRoutes = ({ transfers }: Pick<RouteDeps, 'transfers'>, closing: AbortSignal): Handlers<typeof Moving> => ({
  readImage({ image }) {
    const { id, manifestDigest, manifest, config, layers, tags, digests } = transfers.read(imageName(image))
    return { id, manifestDigest, manifest, config, layers: [...layers], repoTags: [...tags], repoDigests: [...digests] }
  },
  async *readLayer({ diffId, blob }, { signal }) {
    const form = blob ? 'blob' : 'archive'
    for await (const data of batched(transfers.readLayer(parseDigest('diff_id', diffId), form, signal))) yield { data }
  },
  async *openImport(_request, { signal }) {
    await using session = transfers.begin()
    yield { importId: session.id }
    const over = AbortSignal.any([signal, closing])
    const { promise, resolve } = Promise.withResolvers<void>()
    over.addEventListener('abort', () => resolve(), { once: true })
    if (!over.aborted) await promise
  },
  hasBlob: ({ importId, digest }) => ({ present: transfers.session(importId).has(parseDigest('digest', digest)) }),
  async writeBlob({ importId, digest, offset, data }) {
    if (data.length > maxWriteBytes) throw invalid(`data has ${data.length} bytes, more than ${maxWriteBytes}`)
    await transfers.session(importId).write(parseDigest('digest', digest), Number(offset), data)
    return {}
  },
  async finishImport({ importId, manifest, mediaType, config, names, transport }, { signal }) {
    if (!transportPattern.test(transport)) throw invalid(`transport ${quote(transport)} must be a short lower-case word`)
    if (names.length > maxNames) throw new CodedError('invalid_argument', `${names.length} names are more than ${maxNames}`)
    const parts = {
      manifest: Buffer.from(manifest),
      mediaType,
      config: Buffer.from(config),
      names: names.map(parseReference),
      transport,
    }
    return { imageId: await transfers.session(importId).finish(parts, signal) }
  },
  async tagImage({ image, name }) {
    await transfers.tag(imageName(image), parseReference(name))
    return {}
  },
  untagImage: async ({ image }) => ({ removed: [...(await transfers.untag(imageName(image)))] }),
})

// A message costs more than its bytes: pipes give them in small pieces.
async function* batched(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = []
  let length = 0
  for await (const chunk of content) {
    pending.push(chunk)
    length += chunk.length
    if (length < batchBytes) continue
    yield Buffer.concat(pending)
    pending = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(pending)
}

function imageName(image: string): string {
  if (image === '') throw invalid('image must not be empty')
  return image
}
