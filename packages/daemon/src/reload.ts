import { keys } from './config/keys.ts'
import { masked, type Settings } from './config/load.ts'

export interface Difference {
  readonly path: string
  readonly before: unknown
  readonly after: unknown
  readonly needsRestart: boolean
}

/** What a reload changes, and which of it waits for a restart. */
export function compareSettings(before: Settings, after: Settings): Difference[] {
  const paths = new Set([...before.keys(), ...after.keys()])
  return [...paths].sort().flatMap((path) => {
    const [old, now] = [before.get(path)?.value, after.get(path)?.value]
    return JSON.stringify(old) === JSON.stringify(now)
      ? []
      : [{ path, before: masked(old), after: masked(now), needsRestart: !canReload(path) }]
  })
}

function canReload(path: string): boolean {
  return keys.some((key) => {
    if (key.reload !== true) return false
    const [head = '', tail] = key.path.split('*')
    return tail === undefined ? key.path === path : path.startsWith(head) && path.endsWith(tail)
  })
}
