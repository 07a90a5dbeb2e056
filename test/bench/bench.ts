import type { Options } from './options.ts'
import type { Recorder } from './recorder.ts'
import type { Target } from './target.ts'

/** What a scenario works on. */
export interface Bench {
  readonly options: Options
  readonly targets: readonly Target[]
  readonly recorder: Recorder
  /** Throws when the user has asked to stop. */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

/** Calls `work` for each target in turn, `rounds` times after `warmUp` rounds that do not count: A B C, A B C, … */
export async function inTurns(
  bench: Bench,
  rounds: { readonly count: number; readonly warmUp: number },
  work: (target: Target, counts: boolean) => Promise<void>,
): Promise<void> {
  for (let round = -rounds.warmUp; round < rounds.count; round++) {
    for (const target of bench.targets) {
      bench.signal.throwIfAborted()
      await work(target, round >= 0)
    }
  }
}
