// An image written to a registry (distribution-spec, push): blobs in chunks that can be resumed or taken from another repository.
import { CodedError } from '@coracle/base/errors'
import type { Descriptor } from '@coracle/oci-spec/image'
import { formatReference, type Reference } from '@coracle/oci-spec/reference'
import { RegistryError } from '../registry/errors.ts'
import type { ImageDestination, ImageSource } from './image-transfer.ts'
import { type RegistryAccess, registrySource } from './registry-access.ts'
import { createRegistrySender, type RegistrySender } from './registry-sender.ts'
import { Upload } from './upload.ts'

export async function openRegistryDestination(reference: Reference, access: RegistryAccess): Promise<ImageDestination> {
  const sender = createRegistrySender(await registrySource(reference, access, true))
  const { registry, repository } = reference
  return {
    name: `docker://${formatReference(reference)}`,
    async has(blob, from, signal) {
      if (await isThere(sender, `blobs/${blob.digest}`, signal)) return true
      const other = from?.registry === registry && from.repository !== repository ? from.repository : undefined
      return other === undefined ? false : await mount(sender, { blob, other }, signal)
    },
    async writeBlob(blob, content, signal) {
      await new Upload(sender).run(blob, content, signal)
    },
    async writeDocument(document, isTop, signal) {
      const { digest } = document
      if (isTop && reference.digest !== undefined && reference.digest !== digest)
        throw new CodedError('invalid_argument', `destination asks for the digest ${reference.digest}, the image has ${digest}`)
      const name = isTop ? (reference.digest ?? reference.tag ?? 'latest') : digest
      const answer = await sender.send({
        method: 'PUT',
        path: `manifests/${name}`,
        headers: { 'content-type': document.mediaType },
        body: document.bytes,
        expected: [201],
        signal,
      })
      const stored = answer.headers['docker-content-digest']
      answer.destroy()
      if (typeof stored === 'string' && stored.startsWith('sha256:') && digest.startsWith('sha256:') && stored !== digest)
        throw new RegistryError('corrupt', `${sender.host} stored the manifest as ${stored}, not as ${digest}`)
    },
    async commit() {},
    async [Symbol.asyncDispose]() {
      sender.close()
    },
  }
}

async function isThere(sender: RegistrySender, path: string, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await sender.send({ method: 'HEAD', path, expected: [200], signal })
    answer.destroy()
    return true
  } catch (err) {
    // Some registries do not tell what is absent from what may not be seen: then it is sent, and that tells.
    if (err instanceof RegistryError && ['not_found', 'denied', 'unauthorized'].includes(err.failure)) return false
    throw err
  }
}

interface Mount {
  readonly blob: Descriptor
  readonly other: NonNullable<ImageSource['repository']>['repository']
}

// 201: taken over. 202: an upload was begun instead; it is left to expire and the blob sent in one of its own.
async function mount(sender: RegistrySender, { blob, other }: Mount, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await sender.send({
      method: 'POST',
      path: 'blobs/uploads/',
      query: { mount: blob.digest, from: other },
      body: Buffer.alloc(0),
      expected: [201, 202],
      signal,
    })
    answer.destroy()
    return answer.statusCode === 201
  } catch (err) {
    // Not allowed to read the other repository, or the registry knows no mounts.
    if (err instanceof RegistryError && err.failure !== 'unavailable') return false
    throw err
  }
}
