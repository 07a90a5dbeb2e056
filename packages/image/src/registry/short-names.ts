// Names without a registry: aliases, the registries to search, else docker.io (containers-registries.conf(5), "short-name aliasing").
import { invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { parseReference, type Reference } from '@coracle/oci-spec/reference'
import type { RegistriesConf } from './files/registries-conf.ts'

export interface NameCandidate {
  readonly reference: Reference
  /** Why it is this one: `FILE:LINE` of the alias or the search list; undefined: the name says it. */
  readonly from: string | undefined
}

/**
 * What a name may mean, in the order to try. Throws `invalid_argument` for what is no name, and for one that could come from several
 * registries where the operator forbids to guess.
 */
export function candidatesOf(text: string, conf: RegistriesConf): readonly NameCandidate[] {
  const asWritten = parseReference(text)
  if (!isShort(text, asWritten)) return [{ reference: asWritten, from: undefined }]
  const mode = conf.shortNameMode?.value ?? 'permissive'
  const { name, suffix } = split(text)
  const alias = mode === 'disabled' ? undefined : conf.aliases.get(name)
  if (alias !== undefined) return [{ reference: parseReference(alias.value + suffix), from: alias.from }]
  const { search } = conf
  if (search === undefined || search.value.length === 0) return [{ reference: asWritten, from: undefined }]
  if (mode === 'enforcing' && search.value.length > 1)
    throw invalid(
      `image reference ${quote(text)} names no registry and could come from ${search.value.join(', ')} (${search.from}): ` +
        `short-name-mode enforcing (${conf.shortNameMode?.from}) forbids to guess; write the registry or add an alias`,
    )
  return search.value.map((registry) => ({ reference: parseReference(`${registry}/${text}`), from: search.from }))
}

function isShort(text: string, { registry }: Reference): boolean {
  return registry === 'docker.io' && !/^(index\.)?docker\.io\//.test(text)
}

function split(text: string): { readonly name: string; readonly suffix: string } {
  const end = text.search(/[:@]/)
  return end < 0 ? { name: text, suffix: ':latest' } : { name: text.slice(0, end), suffix: text.slice(end) }
}
