// The filters that ps, pods and stats share: what the server can filter goes into the request, the rest is done here.
import { invalid } from '@coracle/base/errors'
import type { OptionTable } from './options.ts'
import { UsageError } from './usage-error.ts'

/** `key=value` pairs as a map. */
export function parsePairs(option: string, pairs: readonly string[]): Record<string, string> {
  const map: Record<string, string> = {}
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new UsageError(`option --${option} is "${pair}"; expected key=value`)
    map[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  return map
}

/** A test for names: the text is a regular expression, as with crictl; none accepts everything. */
export function nameFilter(option: string, text: string | undefined): (name: string) => boolean {
  if (text === undefined) return () => true
  try {
    const pattern = new RegExp(text)
    return (name) => pattern.test(name)
  } catch {
    throw invalid(`option --${option} is "${text}", which is not a regular expression`)
  }
}

/** Targets are either named or filtered for. @throws UsageError when both was done. */
export function requireOneWay(options: Readonly<Record<string, unknown>>, filters: OptionTable, names: readonly string[]): void {
  if (names.length === 0) return
  const given = Object.keys(filters).find((name) => {
    const value = options[name]
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false
  })
  if (given !== undefined) throw new UsageError(`option --${given} goes without names`)
}

/** Newest first; at most `count` when given, and all of them for 0, as with crictl. */
export function newest<T extends { readonly createdAt: bigint }>(items: readonly T[], count?: number): T[] {
  const sorted = [...items].sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0))
  return count ? sorted.slice(0, count) : sorted
}
