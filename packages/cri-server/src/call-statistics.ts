// How many calls there were, how they ended and how long they took: for whoever watches the daemon.

/** Upper bounds in seconds. */
export const callBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60] as const

export interface CallTimes {
  /** Calls of at most the bound of the same place in `callBuckets`, each with those before. */
  readonly withinBucket: readonly number[]
  readonly count: number
  readonly sumSeconds: number
}

export interface CallCount {
  readonly rpc: string
  /** gRPC's name of the status. */
  readonly code: string
  readonly count: number
}

export interface CallStatistics {
  counts(): readonly CallCount[]
  times(): ReadonlyMap<string, CallTimes>
}

const counts = new Map<string, { readonly rpc: string; readonly code: string; count: number }>()
const times = new Map<string, { withinBucket: number[]; count: number; sumSeconds: number }>()

/** Of this process since its start. */
export const callStatistics: CallStatistics = { counts: () => [...counts.values()], times: () => times }

export function recordCall(rpc: string, code: string, seconds: number): void {
  const key = `${rpc} ${code}`
  let counted = counts.get(key)
  if (counted === undefined) {
    counted = { rpc, code, count: 0 }
    counts.set(key, counted)
  }
  counted.count++
  let timed = times.get(rpc)
  if (timed === undefined) {
    timed = { withinBucket: callBuckets.map(() => 0), count: 0, sumSeconds: 0 }
    times.set(rpc, timed)
  }
  timed.count++
  timed.sumSeconds += seconds
  for (const [index, bound] of callBuckets.entries())
    if (seconds <= bound) timed.withinBucket[index] = (timed.withinBucket[index] ?? 0) + 1
}
