// One run of the check, with repair if that was asked for.
import { CodedError, explain } from '@coracle/base/errors'
import type { Images } from '../images.ts'
import { checkStore, isMended } from './check-store.ts'
import { type RepairDeps, repair } from './repair.ts'

export interface CheckRunDeps extends RepairDeps {
  /** Removes copies of layers that nothing needs any more. */
  readonly collect: () => Promise<void>
}

export function createCheck(deps: CheckRunDeps): Images['check'] {
  let running = false
  return async ({ deep, repair: mend, onFinding }, signal) => {
    if (running) throw new CodedError('unavailable', 'another check of the store is running: try again when it has ended')
    running = true
    try {
      const { found, ...totals } = await checkStore(deps.parts, deep, signal)
      let left = 0
      for (const each of found) {
        const outcome = mend ? await attempt(deps, each, signal) : ({ repair: 'not tried', repairDetail: '' } as const)
        if (outcome.repair !== 'done') left++
        onFinding({ ...each, ...outcome })
      }
      if (mend) await deps.collect()
      return { ...totals, images: [...deps.parts.store.index.images()].length, findings: found.length, left }
    } finally {
      running = false
    }
  }
}

type Outcome = { readonly repair: 'done' | 'failed'; readonly repairDetail: string }

async function attempt(deps: CheckRunDeps, found: Parameters<typeof repair>[1], signal: AbortSignal): Promise<Outcome> {
  try {
    const repairDetail = await repair(deps, found, signal)
    if (!isMended(deps.parts, found)) return { repair: 'failed', repairDetail: `${repairDetail}, and it is still so` }
    return { repair: 'done', repairDetail }
  } catch (err) {
    signal.throwIfAborted()
    return { repair: 'failed', repairDetail: explain(err) }
  }
}
