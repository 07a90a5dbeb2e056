// An image in a registry, read; and the tags of a repository.
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseJson } from '@coracle/base/parse-json'
import type { Digest } from '@coracle/oci-spec/digest'
import { listAt, objectAt, stringAt } from '@coracle/oci-spec/json-fields'
import { maxManifestBytes } from '@coracle/oci-spec/manifest'
import { acceptedManifests } from '@coracle/oci-spec/media-type'
import { formatReference, type Reference } from '@coracle/oci-spec/reference'
import { downloadBlob } from '../registry/blob.ts'
import { createRegistryClient, type RegistryClient } from '../registry/client.ts'
import { RegistryError } from '../registry/errors.ts'
import { readBody } from '../registry/http.ts'
import { rawDocument } from './document.ts'
import type { ImageSource, RawDocument } from './image-transfer.ts'
import { type RegistryAccess, registrySource } from './registry-access.ts'

export async function openRegistrySource(reference: Reference, access: RegistryAccess): Promise<ImageSource> {
  const source = await registrySource(reference, access)
  const client = createRegistryClient(source)
  const fetch = (name: string, digest: Digest | undefined, signal: AbortSignal) =>
    fetchDocument(client, { name, digest, stallMs: source.stallTimeoutMs }, signal)
  return {
    name: `docker://${formatReference(reference)}`,
    repository: { registry: reference.registry, repository: reference.repository },
    top: (signal) => fetch(reference.digest ?? reference.tag ?? 'latest', reference.digest, signal),
    async document(descriptor, signal) {
      const document = await fetch(descriptor.digest, descriptor.digest, signal)
      if (document.bytes.length === descriptor.size) return document
      throw new RegistryError(
        'corrupt',
        `manifest ${descriptor.digest} has ${document.bytes.length} bytes, not ${descriptor.size}`,
      )
    },
    blob: (descriptor, signal) =>
      downloadBlob(client, descriptor, { stallMs: source.stallTimeoutMs, retryBaseMs: source.retryBaseMs, signal }),
    async [Symbol.asyncDispose]() {
      client.close()
    },
  }
}

interface WantedDocument {
  readonly name: string
  readonly digest: Digest | undefined
  readonly stallMs: number
}

/** Any manifest or index, artifacts included, checked against `digest`. */
export async function fetchDocument(
  client: RegistryClient,
  { name, digest, stallMs }: WantedDocument,
  signal: AbortSignal,
): Promise<RawDocument> {
  const { response, endpoint } = await client.get({ path: `manifests/${name}`, headers: { accept: acceptedManifests }, signal })
  const bytes = await readBody(response, { host: endpoint.host, maxBytes: maxManifestBytes, stallMs })
  const document = rawDocument(bytes, response.headers['content-type'], digest)
  const claimed = response.headers['docker-content-digest']
  if (typeof claimed === 'string' && claimed.slice(0, 7) === document.digest.slice(0, 7) && claimed !== document.digest)
    throw new RegistryError(
      'corrupt',
      `${endpoint.host} says its manifest has the digest ${quote(claimed)}, its bytes have ${document.digest}`,
    )
  return document
}

const maxTagsBytes = 4 * 1024 * 1024
const maxTags = 1_000_000

/** All tags, in the registry's order (distribution-spec, listing tags; page by page). */
export async function listTags(
  repository: Pick<Reference, 'registry' | 'repository'>,
  access: RegistryAccess,
  signal: AbortSignal,
): Promise<readonly string[]> {
  // Mirrors are not asked: theirs would be another list.
  const source = await registrySource(repository, access, true)
  const client = createRegistryClient(source)
  try {
    const tags = new Set<string>()
    for (let path: string | undefined = 'tags/list?n=1000'; path !== undefined; ) {
      const { response, endpoint } = await client.get({ path, signal })
      const body = await readBody(response, { host: endpoint.host, maxBytes: maxTagsBytes, stallMs: source.stallTimeoutMs })
      const answer = objectAt('tags', parseJson(`tags of ${endpoint.host}`, body, { maxBytes: maxTagsBytes }))
      const before = tags.size
      for (const tag of listAt('tags.tags', answer['tags'] ?? [], 100_000)) tags.add(stringAt('tags.tags[]', tag))
      if (tags.size > maxTags) throw new CodedError('resource_exhausted', `${endpoint.host} lists more than ${maxTags} tags`)
      // A page that brings nothing new would be followed for ever.
      path = tags.size === before ? undefined : nextPage(response.headers.link)
    }
    return [...tags]
  } finally {
    client.close()
  }
}

// Only the query counts: the page is of the same list, wherever the link says it is.
function nextPage(link: string | string[] | undefined): string | undefined {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/i.exec([link ?? ''].flat().join(','))?.[1]
  const query = target === undefined ? undefined : URL.parse(target, 'http://registry/')?.search
  return query ? `tags/list${query}` : undefined
}
