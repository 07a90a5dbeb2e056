// Coracle's own addition beside the CRI: why something hangs.
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PastWork } from '@coracle/base/stage-history'
import { type EndedStage, type Stage, stagesUnderWay } from '@coracle/base/stages'
import { hangsIn, title } from '@coracle/base/why'
import type { PartSchema, Why, WorkSchema } from '@coracle/cri-api/why'
import { explainWhy } from '@coracle/lifecycle'
import type { RouteDeps } from './deps.ts'
import type { Handlers } from './service.ts'

/** Deeper parts are not told. */
const deepest = 8

type PartInit = Extract<MessageInitShape<typeof PartSchema>, { $typeName?: never }>
type WorkInit = Extract<MessageInitShape<typeof WorkSchema>, { $typeName?: never }>

export const whyRoutes = (deps: Pick<RouteDeps, 'services' | 'history'>): Handlers<typeof Why> => ({
  explain: ({ name }, call) => {
    const { things, underWay, lately } = explainWhy(deps.services, deps.history, name)
    // The question itself is under way, too.
    const others = underWay.filter((stage) => stage !== call.stage)
    return { things: [...things], underWay: others.map(workOf), lately: lately.toReversed().map(pastOf) }
  },
})

/** For verbose status: what has been under way for a while and hangs in a part. */
export function underWay(atLeastMs: number): readonly object[] {
  const now = performance.now()
  return [...stagesUnderWay()]
    .filter((stage) => now - stage.startedMs >= atLeastMs && hangsIn(stage) !== '')
    .map((stage) => ({
      what: title(stage),
      owner: stage.owner,
      subject: stage.subject,
      seconds: Math.round((now - stage.startedMs) / 100) / 10,
      where: hangsIn(stage),
    }))
}

function workOf(stage: Stage): WorkInit {
  return {
    what: title(stage),
    owner: stage.owner,
    startedAt: wallNs(stage.startedMs),
    elapsedMs: whole(performance.now() - stage.startedMs),
    where: hangsIn(stage),
    parts: partsOf(stage, 1),
  }
}

function pastOf(work: PastWork): WorkInit {
  const { kind, on, owner, startedMs, ms, error = '' } = work
  return {
    what: on === '' ? kind : `${kind} ${on}`,
    owner,
    startedAt: wallNs(startedMs),
    elapsedMs: whole(ms),
    error,
    parts: work.done.flatMap((part) => endedParts(part, 1)),
  }
}

function partsOf(stage: Stage, depth: number): PartInit[] {
  if (depth > deepest) return []
  const open = [...stage.open].flatMap((part): PartInit[] => {
    const { kind, on, startedMs } = part
    const words = part.detail?.() ?? ''
    const own = { depth, kind, on, elapsedMs: whole(performance.now() - startedMs), underWay: true, words }
    return [own, ...partsOf(part, depth + 1)]
  })
  return [...stage.done.flatMap((part) => endedParts(part, depth)), ...open]
}

function endedParts({ kind, on, ms, error = '', done }: EndedStage, depth: number): PartInit[] {
  if (depth > deepest) return []
  const own = { depth, kind, on, elapsedMs: whole(ms), underWay: false, words: error }
  return [own, ...done.flatMap((part) => endedParts(part, depth + 1))]
}

const whole = (ms: number): bigint => BigInt(Math.max(0, Math.round(ms)))
const wallNs = (startedMs: number): bigint => BigInt(Math.round(Date.now() - (performance.now() - startedMs))) * 1_000_000n
