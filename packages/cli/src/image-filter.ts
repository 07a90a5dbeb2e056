import type { Image } from '@coracle/cri-api'
import { nameFilter } from './select.ts'
import { UsageError } from './usage-error.ts'

/**
 * crictl's image filters, all of which must hold: `dangling`, `reference` (a regular expression), `before` and `since` (by
 * position in the list).
 */
export function filterImages(images: readonly Image[], filters: readonly string[]): Image[] {
  return filters.reduce<Image[]>(
    (kept, filter) => {
      const equals = filter.indexOf('=')
      const key = filter.slice(0, Math.max(equals, 0))
      const value = filter.slice(equals + 1)
      if (key === 'dangling') return kept.filter(({ repoTags }) => (repoTags.length === 0) === parseBoolean(value))
      if (key === 'reference') {
        const matches = nameFilter('filter reference', value)
        return kept.filter(({ repoTags, repoDigests }) => [...repoTags, ...repoDigests].some(matches))
      }
      if (key === 'before') return kept.slice(positionOf(kept, value) + 1)
      if (key === 'since') return kept.slice(0, positionOf(kept, value))
      throw new UsageError(`option --filter is "${filter}"; expected dangling=…, reference=…, before=… or since=…`)
    },
    [...images],
  )
}

function parseBoolean(text: string): boolean {
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw new UsageError(`filter dangling is "${text}"; expected true or false`)
}

function positionOf(images: readonly Image[], name: string): number {
  const index = images.findIndex(
    ({ id, repoTags, repoDigests }) =>
      repoTags.includes(name) ||
      repoDigests.includes(name) ||
      id === name ||
      id.replace('sha256:', '').startsWith(name.replace('sha256:', '')),
  )
  if (index < 0) throw new UsageError(`filter names image "${name}", which is not in the list`)
  return index
}
