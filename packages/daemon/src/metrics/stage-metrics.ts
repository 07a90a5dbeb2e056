// What stages tell of themselves: how many there are, how long they take, which ones work is stuck in.
import { entryOf, Histogram } from '@coracle/base/histogram'
import { listenToStages, type Stage, stagesUnderWay } from '@coracle/base/stages'
import { innermost } from '@coracle/base/why'
import { family } from './catalogue.ts'
import { type Family, histogramSamples } from './exposition.ts'

const stageBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 240] as const
/** Work that has been in one stage for longer is stuck. */
const stuckMs = 10_000

export interface StageMetrics extends Disposable {
  families(): readonly Family[]
}

/** Begins to listen. Calls have metrics of their own. */
export function createStageMetrics(): StageMetrics {
  const durations = new Map<string, Histogram>()
  const failures = new Map<string, number>()
  const listening = listenToStages({
    ended: (stage, { error }) => {
      const { kind, startedMs, endedMs = startedMs } = stage
      if (isAskedFor(stage)) return
      entryOf(durations, kind, () => new Histogram(stageBuckets)).add((endedMs - startedMs) / 1000)
      if (error !== undefined) failures.set(kind, (failures.get(kind) ?? 0) + 1)
    },
  })
  return {
    families: () => [
      ...underWayFamilies(),
      family(
        'coracle_stage_duration_seconds',
        [...durations].flatMap(([stage, values]) => histogramSamples({ stage }, stageBuckets, values)),
      ),
      family('coracle_stage_failures_total', byStage(failures)),
    ],
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  }
}

/** What others ask for is no stage of the work on it. */
const isAskedFor = ({ isCall, isSession }: Stage): boolean => isCall || isSession

const byStage = (numbers: ReadonlyMap<string, number>): Family['samples'] =>
  [...numbers].map(([stage, value]) => ({ labels: { stage }, value }))

function underWayFamilies(): readonly Family[] {
  const now = performance.now()
  const counts = new Map<string, number>()
  const oldest = new Map<string, number>()
  const stuck = new Map<string, { readonly work: string; readonly stage: string; count: number }>()
  const count = (stage: Stage) => {
    if (!isAskedFor(stage)) {
      counts.set(stage.kind, (counts.get(stage.kind) ?? 0) + 1)
      oldest.set(stage.kind, Math.max(oldest.get(stage.kind) ?? 0, (now - stage.startedMs) / 1000))
    }
    for (const part of stage.open) count(part)
  }
  for (const root of stagesUnderWay()) {
    count(root)
    const at = innermost(root)
    if (isAskedFor(at) || now - at.startedMs < stuckMs) continue
    const [work, stage] = [root.kind, at.kind]
    entryOf(stuck, `${work}\n${stage}`, () => ({ work, stage, count: 0 })).count++
  }
  return [
    family('coracle_stages_in_progress', byStage(counts)),
    family('coracle_stage_oldest_seconds', byStage(oldest)),
    family(
      'coracle_stages_stuck',
      [...stuck.values()].map(({ work, stage, count: value }) => ({ labels: { work, stage }, value })),
    ),
  ]
}
