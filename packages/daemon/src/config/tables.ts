import { keys } from './keys.ts'
import type { Settings } from './load.ts'

/** Names the operator chose in tables such as [runtimes.NAME]. */
export function namesIn(settings: Settings, table: string): string[] {
  const names = new Set<string>()
  const suffixes = keys.filter((key) => key.path.startsWith(`${table}.*.`)).map((key) => key.path.slice(table.length + 2))
  for (const path of settings.keys()) {
    const suffix = suffixes.find((candidate) => path.endsWith(candidate))
    if (path.startsWith(`${table}.`) && suffix !== undefined) names.add(path.slice(table.length + 1, -suffix.length))
  }
  return [...names]
}
