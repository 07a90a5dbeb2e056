// Which names an image gets, loses, and answers to (CRI Image.repo_tags and repo_digests).
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { type Digest, hexOf, type ImageId, isDigest } from '@coracle/oci-spec/digest'
import { digestedName, nameOf, parseReference, type Reference, taggedName } from '@coracle/oci-spec/reference'
import type { ImageIndex, ImageName, StoredImage } from './store/index.ts'

/** The names that pulling `reference` gives: by tag the tag and the digest it stood for, by digest only that. */
export function namesOf(reference: Reference, topDigest: Digest, image: ImageId): readonly ImageName[] {
  const repository = nameOf(reference)
  const byTag = reference.digest === undefined
  const digest: ImageName = { name: digestedName(reference, topDigest), kind: 'digest', repository, byTag, image }
  const tag = taggedName(reference)
  if (!byTag || tag === undefined) return [digest]
  return [{ name: tag, kind: 'tag', repository, byTag, image }, digest]
}

/** What a text may mean, in the order to try. Throws for text that is no reference. */
export type Candidates = (text: string) => readonly Reference[]

/** Throws `invalid_argument` when a short id fits more than one image. Text that is no reference at all names nothing. */
export function findImage(index: ImageIndex, text: string, candidates?: Candidates): StoredImage | undefined {
  if (isDigest(text)) return index.image(text)
  if (/^[0-9a-f]{64}$/.test(text)) return index.image(`sha256:${text}` as ImageId)
  const byName = findName(index, text, candidates)
  if (byName !== undefined) return index.image(byName.image)
  const prefix = /^(?:sha256:)?([0-9a-f]{3,63})$/.exec(text)?.[1]
  if (prefix === undefined) return undefined
  const found = [...index.images()].filter((image) => hexOf(image.id).startsWith(prefix))
  if (found.length > 1)
    throw new CodedError('invalid_argument', `image ${quote(text)} is ambiguous: ${found.length} image ids begin with it`)
  return found[0]
}

/** The record of a tag or digest, written in full or short. */
export function findName(
  index: ImageIndex,
  text: string,
  candidates: Candidates = (name) => [parseReference(name)],
): ImageName | undefined {
  for (const reference of tryAll(text, candidates)) {
    const name = reference.digest === undefined ? taggedName(reference) : digestedName(reference, reference.digest)
    const found = name === undefined ? undefined : index.name(name)
    if (found !== undefined) return found
  }
  return undefined
}

function tryAll(text: string, candidates: Candidates): readonly Reference[] {
  for (const read of [candidates, (name: string) => [parseReference(name)]]) {
    try {
      return read(text)
    } catch {
      // Ambiguous, or the files that would tell are broken: what is here can still be found by its plain meaning.
    }
  }
  return []
}

/** What goes when `name` is removed: itself, and with the last tag of a repository the digests that came by tag. */
export function namesRemovedWith(index: ImageIndex, name: ImageName): readonly string[] {
  const siblings = [...index.names()].filter(
    (other) => other.image === name.image && other.repository === name.repository && other.name !== name.name,
  )
  if (name.kind === 'digest' || siblings.some((other) => other.kind === 'tag')) return [name.name]
  return [name.name, ...siblings.filter((other) => other.byTag).map((other) => other.name)]
}

/** Patterns as CRI-O has them: exact, `prefix*`, `*substring*`. */
export function matchesAny(patterns: readonly string[], names: readonly string[]): boolean {
  return patterns.some((pattern) => names.some((name) => matches(pattern, name)))
}

function matches(pattern: string, name: string): boolean {
  if (pattern.length > 1 && pattern.startsWith('*') && pattern.endsWith('*')) return name.includes(pattern.slice(1, -1))
  if (pattern.endsWith('*')) return name.startsWith(pattern.slice(0, -1))
  return name === pattern
}
