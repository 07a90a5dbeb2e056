import { createHash } from 'node:crypto'
import { invalid } from '@coracle/base/errors'
import type { Branded } from '@coracle/base/ids'
import { quote } from '@coracle/base/ids'

/** `sha256:` and 64, or `sha512:` and 128, lower-case hex digits. Made only here, so that no raw string reaches a path or URL. */
export type Digest = Branded<'Digest'>
/** The digest of an uncompressed layer tar (image-spec, config.md, rootfs.diff_ids). */
export type DiffId = Digest
/** The digest of an image's config: the CRI image id. */
export type ImageId = Digest

export const isDigest = (text: string): text is Digest => /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)

/** Throws `invalid_argument` unless `text` is a digest (image-spec, descriptor.md). */
export function parseDigest(field: string, text: unknown): Digest {
  if (typeof text === 'string' && isDigest(text)) return text
  throw invalid(
    `${field} ${quote(String(text))} is not a digest: expected sha256: and 64 or sha512: and 128 lower-case hex digits`,
  )
}

export const algorithmOf = (digest: Digest): 'sha256' | 'sha512' => (digest.startsWith('sha256:') ? 'sha256' : 'sha512')
export const hexOf = (digest: Digest): string => digest.slice(7)

/** The sha256 digest of `data`. */
// The brand holds: a hash is what parseDigest would accept.
export const digestOf = (data: string | Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(data).digest('hex')}` as Digest
