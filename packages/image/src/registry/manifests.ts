// From a reference to one platform's manifest: everything is fetched once and pinned by the digest of its bytes.

import { createHash } from 'node:crypto'
import { CodedError, codeOf, explain } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { isObject } from '@coracle/base/parse-json'
import { algorithmOf, type Digest, digestOf } from '@coracle/oci-spec/digest'
import type { Descriptor, Index, Manifest, Platform } from '@coracle/oci-spec/image'
import { maxManifestBytes, parseManifest } from '@coracle/oci-spec/manifest'
import { acceptedManifests } from '@coracle/oci-spec/media-type'
import { choosePlatform, formatPlatform } from '@coracle/oci-spec/platform'
import type { Reference } from '@coracle/oci-spec/reference'
import type { Answer, RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'
import { readBody } from './http.ts'

export interface ResolvedManifest {
  /** Of what the reference names, an index or a manifest. */
  readonly topDigest: Digest
  readonly manifestDigest: Digest
  readonly manifest: Manifest
  readonly rawManifest: Buffer
}

export interface FetchLimits {
  readonly signal: AbortSignal
  readonly stallMs: number
}

/** Throws `not_found` naming the platforms when an index has none that fits. */
export async function resolveManifest(
  client: RegistryClient,
  target: { readonly reference: Reference; readonly platform: Platform },
  limits: FetchLimits,
): Promise<ResolvedManifest> {
  const { reference, platform } = target
  const top = await fetchManifest(
    client,
    { name: reference.digest ?? reference.tag ?? 'latest', digest: reference.digest },
    limits,
  )
  let found = top
  // One index inside another is allowed for, no more.
  for (let depth = 0; found.document.kind === 'index'; depth++) {
    if (depth === 2) throw new CodedError('invalid_argument', 'index is nested deeper than 2 levels')
    const chosen = choose(found.document, platform)
    found = await fetchManifest(client, { name: chosen.digest, digest: chosen.digest, descriptor: chosen }, limits)
  }
  return { topDigest: top.digest, manifestDigest: found.digest, manifest: found.document, rawManifest: found.bytes }
}

function choose(index: Index, platform: Platform): Descriptor {
  const chosen = choosePlatform(index.manifests, platform)
  if (chosen !== undefined) return chosen
  const offered = [...new Set(index.manifests.map((entry) => (entry.platform && formatPlatform(entry.platform)) || 'unnamed'))]
  throw new CodedError(
    'not_found',
    `no image for platform ${formatPlatform(platform)}: the index offers ${offered.length === 0 ? 'none at all' : quote(offered.join(', '))}`,
  )
}

interface Wanted {
  readonly name: string
  readonly digest: Digest | undefined
  readonly descriptor?: Descriptor
}

interface Fetched {
  readonly digest: Digest
  readonly document: Manifest | Index
  readonly bytes: Buffer
}

function fetchManifest(client: RegistryClient, wanted: Wanted, { signal, stallMs }: FetchLimits): Promise<Fetched> {
  const request = { path: `manifests/${wanted.name}`, headers: { accept: acceptedManifests }, signal }
  return client.read(request, async ({ response, endpoint }) => {
    const bytes = await readBody(response, { host: endpoint.host, maxBytes: maxManifestBytes, stallMs })
    const digest = checkedDigest(wanted, { response, endpoint }, bytes)
    if (/^\s*</.test(bytes.toString('latin1', 0, 64)))
      throw new RegistryError(
        'protocol',
        `${endpoint.host} answers with a page, not a manifest: ${client.secrets.redact(bytes.toString('utf8', 0, 128))}`,
      )
    const type = response.headers['content-type'] ?? wanted.descriptor?.mediaType
    const parse = wanted.digest === undefined ? believed(endpoint.host) : parseManifest
    return { digest, document: parse(bytes, type), bytes }
  })
}

/** What a tag stands for is the host's word alone: where that is no manifest at all, another host may know better. */
const believed =
  (host: string): typeof parseManifest =>
  (bytes, type) => {
    try {
      return parseManifest(bytes, type)
    } catch (err) {
      if (codeOf(err) !== 'invalid_argument' || isOfVersion2(bytes)) throw err
      throw new RegistryError('protocol', `${host} answers with something else than a manifest: ${explain(err)}`)
    }
  }

function isOfVersion2(bytes: Uint8Array): boolean {
  try {
    const document: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    return isObject(document) && document['schemaVersion'] === 2
  } catch {
    return false
  }
}

function checkedDigest(wanted: Wanted, { response, endpoint: { host } }: Answer, bytes: Buffer): Digest {
  const corrupt = (why: string) => new RegistryError('corrupt', `${host} ${why}`)
  const digest = digestIn(bytes, wanted.digest)
  if (wanted.digest !== undefined && digest !== wanted.digest)
    throw corrupt(`sends a manifest with the digest ${digest}, not ${wanted.digest}`)
  if (wanted.descriptor !== undefined && wanted.descriptor.size !== bytes.length)
    throw corrupt(`sends a manifest of ${bytes.length} bytes, not ${wanted.descriptor.size}`)
  const claimed = response.headers['docker-content-digest']
  if (typeof claimed === 'string' && claimed.startsWith('sha256:') && digest.startsWith('sha256:') && claimed !== digest)
    throw corrupt(`says its manifest has the digest ${quote(claimed)}, its bytes have ${digest}`)
  return digest
}

/** The digest of `bytes` by the algorithm of `like`, sha256 without it. */
export function digestIn(bytes: Uint8Array, like: Digest | undefined): Digest {
  if (like === undefined || algorithmOf(like) === 'sha256') return digestOf(bytes)
  // The brand holds: a hash is what parseDigest would accept.
  return `sha512:${createHash('sha512').update(bytes).digest('hex')}` as Digest
}

/** A small blob, checked by size and digest. */
export async function fetchBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  limits: FetchLimits & { maxBytes: number },
): Promise<Buffer> {
  if (descriptor.size > limits.maxBytes)
    throw new CodedError(
      'invalid_argument',
      `blob ${descriptor.digest} of ${descriptor.size} bytes is larger than ${limits.maxBytes}`,
    )
  const request = { path: `blobs/${descriptor.digest}`, signal: limits.signal }
  return client.read(request, async ({ response, endpoint: { host } }) => {
    if (response.headers['content-encoding'] !== undefined && response.headers['content-encoding'] !== 'identity') {
      response.destroy()
      throw new RegistryError('protocol', `${host} sends a blob with a Content-Encoding`)
    }
    const bytes = await readBody(response, { host, maxBytes: descriptor.size, stallMs: limits.stallMs })
    const corrupt = (why: string) => new RegistryError('corrupt', `${host} sends ${why}`)
    if (bytes.length !== descriptor.size)
      throw corrupt(`${bytes.length} bytes of blob ${descriptor.digest}, not ${descriptor.size}`)
    const digest = digestIn(bytes, descriptor.digest)
    if (digest !== descriptor.digest) throw corrupt(`bytes with the digest ${digest} as blob ${descriptor.digest}`)
    return bytes
  })
}
