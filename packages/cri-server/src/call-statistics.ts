// How many calls there were, how they ended and how long they took: for whoever watches the daemon.
import { entryOf, Histogram, type HistogramValues } from '@coracle/base/histogram'

/** Upper bounds in seconds. */
export const callBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 240] as const

export interface CallCount {
  readonly rpc: string
  /** gRPC's name of the status. */
  readonly code: string
  readonly count: number
}

export interface CallStatistics {
  counts(): readonly CallCount[]
  /** In seconds. */
  times(): ReadonlyMap<string, HistogramValues>
  /** Calls that have not ended, by RPC. */
  inProgress(): ReadonlyMap<string, number>
}

const counts = new Map<string, { readonly rpc: string; readonly code: string; count: number }>()
const times = new Map<string, Histogram>()
const inProgress = new Map<string, number>()

/** Of this process since its start. */
export const callStatistics: CallStatistics = {
  counts: () => [...counts.values()],
  times: () => times,
  inProgress: () => inProgress,
}

export function recordCallStart(rpc: string): void {
  inProgress.set(rpc, (inProgress.get(rpc) ?? 0) + 1)
}

export function recordCall(rpc: string, code: string, seconds: number): void {
  inProgress.set(rpc, (inProgress.get(rpc) ?? 1) - 1)
  entryOf(counts, `${rpc} ${code}`, () => ({ rpc, code, count: 0 })).count++
  entryOf(times, rpc, () => new Histogram(callBuckets)).add(seconds)
}
