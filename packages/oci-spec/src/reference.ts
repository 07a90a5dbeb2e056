// Image references as the distribution project writes them: host[:port]/repository[:tag][@digest].
import { CodedError } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { type Digest, isDigest } from './digest.ts'

export interface Reference {
  /** `host` or `host:port`; `docker.io` where none was given. */
  readonly registry: string
  /** `library/` added for one-component names of docker.io. */
  readonly repository: string
  /** `latest` where neither tag nor digest was given. */
  readonly tag?: string
  readonly digest?: Digest
}

const bad = (text: string, why: string): CodedError => new CodedError('invalid_argument', `image reference ${quote(text)} ${why}`)

const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const hostPattern = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9.-]+)(?::([0-9]{1,5}))?$/
const hostComponentPattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/** Parses and normalises. Throws `invalid_argument` that says what is wrong. */
export function parseReference(text: string): Reference {
  if (text.length === 0) throw bad(text, 'is empty')
  if (text.length > 1024) throw bad(text, 'is longer than 1024 characters')
  if (/^[0-9a-f]{64}$/.test(text) || isDigest(text)) throw bad(text, 'is an image id: expected a name')
  let rest = text
  let digest: Digest | undefined
  const at = rest.indexOf('@')
  if (at >= 0) {
    const after = rest.slice(at + 1)
    if (!isDigest(after)) throw bad(text, 'has a bad digest: expected sha256: and 64 or sha512: and 128 lower-case hex digits')
    digest = after
    rest = rest.slice(0, at)
  }
  let tag: string | undefined
  const colon = rest.lastIndexOf(':')
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1)
    rest = rest.slice(0, colon)
    if (!tagPattern.test(tag))
      throw bad(text, 'has a bad tag: expected up to 128 letters, digits, "_", "." or "-", not starting with "." or "-"')
  }
  const { registry, repository } = splitName(rest)
  if (!isHost(registry)) throw bad(text, `has a bad registry ${quote(registry)}`)
  if (repository.length > 255) throw bad(text, 'has a repository longer than 255 characters')
  if (!repositoryPattern.test(repository)) {
    throw bad(text, 'has a bad repository: expected lower-case letters and digits, separated by ".", "_", "__", "-" or "/"')
  }
  if (tag === undefined && digest === undefined) tag = 'latest'
  return { registry, repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) }
}

function isHost(text: string): boolean {
  const [, host = '', port] = hostPattern.exec(text) ?? []
  if (host === '' || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))) return false
  return host.startsWith('[') ? URL.canParse(`http://${host}/`) : host.split('.').every((part) => hostComponentPattern.test(part))
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  if (slash > 0 && (first.includes('.') || first.includes(':') || first === 'localhost' || first !== first.toLowerCase())) {
    const registry = first === 'index.docker.io' ? 'docker.io' : first
    const repository = name.slice(slash + 1)
    return { registry, repository: registry === 'docker.io' && !repository.includes('/') ? `library/${repository}` : repository }
  }
  return { registry: 'docker.io', repository: name.includes('/') ? name : `library/${name}` }
}

/**
 * A host, or a name that begins with one, as all spellings of that host have it: in lower case, without the usual port of TLS. For
 * comparing what is asked for with what an operator wrote.
 */
export const withPlainHost = (name: string): string => name.replace(/^[^/@]+/, (host) => host.toLowerCase().replace(/:443$/, ''))
/** `registry/repository`. */
export const nameOf = (ref: Reference): string => `${ref.registry}/${ref.repository}`
/** `registry/repository:tag`, the form of CRI repo_tags. */
export const taggedName = (ref: Reference): string | undefined =>
  ref.tag === undefined ? undefined : `${nameOf(ref)}:${ref.tag}`
/** `registry/repository@digest`, the form of CRI repo_digests. */
export const digestedName = (ref: Reference, digest: Digest): string => `${nameOf(ref)}@${digest}`
/** The whole reference again; parses to an equal one. */
export const formatReference = (ref: Reference): string =>
  `${nameOf(ref)}${ref.tag === undefined ? '' : `:${ref.tag}`}${ref.digest === undefined ? '' : `@${ref.digest}`}`
