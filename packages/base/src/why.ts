// Where work hangs, in words: the same in an answer to `why`, in the error of a call that ran out of time, in a status.
import type { Stage } from './stages.ts'

/** Deeper than any real chain of waiting; two that wait for each other would make an endless one. */
const deepest = 12
/** Failed parts that are told. */
const triesTold = 3

export const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)

/** `15:04:05`, in UTC as the log has it. */
export const clockTime = (startedMs: number): string =>
  new Date(Date.now() - (performance.now() - startedMs)).toISOString().slice(11, 19)

/** A stage without its parts: `CNI ADD plugin bridge`. */
export const title = ({ kind, on }: Stage): string => (on === '' ? kind : `${kind} ${on}`)

/** The part that has been under way for longest, down to the one that has no parts: where the work hangs. */
export function innermost(stage: Stage): Stage {
  let at = stage
  for (let depth = 0; depth < deepest; depth++) {
    const [part] = at.open
    if (part === undefined) return at
    at = part
  }
  return at
}

/** What was tried in a stage and its parts and failed, in words, the latest last. */
export function triedIn(stage: Stage): string[] {
  const words: string[] = []
  let at: Stage | undefined = stage
  for (let depth = 0; at !== undefined && depth < deepest; depth++) {
    for (const { kind, on, ms, error } of at.done)
      if (error !== undefined) words.push(`${on === '' ? kind : `${kind} ${on}`} failed after ${seconds(ms)}: ${error}`)
    ;[at] = at.open
  }
  return words.slice(-triesTold)
}

/**
 * One line: where `stage` hangs, since when, on what, what holds that up, and what was tried. Empty when it has no part that is
 * under way, and is no part itself that its caller has left behind.
 */
export function hangsIn(stage: Stage): string {
  const at = innermost(stage)
  if (at === stage && stage.waitsFor === undefined && (!stage.isOrphan || stage.endedMs !== undefined)) return ''
  const tried = triedIn(stage)
  return `${whereabouts(at, 0)}${tried.length === 0 ? '' : `; tried: ${tried.join('; ')}`}`
}

function whereabouts(at: Stage, depth: number): string {
  const detail = at.detail?.() ?? ''
  const own = `${title(at)}, for ${seconds(performance.now() - at.startedMs)} since ${clockTime(at.startedMs)}${detail === '' ? '' : ` (${detail})`}`
  const other = at.waitsFor?.()
  if (other === undefined || depth >= deepest) return own
  const inner = innermost(other)
  const owner = other.owner === '' ? title(other) : `${title(other)} of ${other.owner}`
  if (inner === other && other.waitsFor === undefined) {
    return `${own}: waits for ${owner}, under way for ${seconds(performance.now() - other.startedMs)}`
  }
  return `${own}: waits for ${owner}, which is in ${whereabouts(inner, depth + 1)}`
}
