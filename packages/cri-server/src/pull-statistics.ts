// Which pulls there were, from where, how they ended and what they fetched: for whoever watches the daemon.
import { codeOf } from '@coracle/base/errors'
import { entryOf, Histogram, type HistogramValues } from '@coracle/base/histogram'

/** Upper bounds in seconds. */
export const pullBuckets = [0.1, 0.5, 2, 5, 15, 60, 300, 1800] as const

/** Hosts come from pods: more of them than this are counted as one. */
const maxHosts = 100

export interface PullEnd {
  /** Of the registry in the image's name. */
  readonly host: string
  /** `ok`, `present`, or what `failureOf` tells. */
  readonly outcome: string
  readonly seconds: number
  readonly fetchedLayers: number
  readonly reusedLayers: number
  readonly fetchedBytes: number
}

export interface PullStatistics {
  counts(): readonly { readonly host: string; readonly outcome: string; readonly count: number }[]
  /** Of those that succeeded, by host, in seconds. */
  times(): ReadonlyMap<string, HistogramValues>
  fetchedBytes(): ReadonlyMap<string, number>
  layers(): { readonly fetched: number; readonly reused: number }
}

const counts = new Map<string, { readonly host: string; readonly outcome: string; count: number }>()
const times = new Map<string, Histogram>()
const bytes = new Map<string, number>()
const layers = { fetched: 0, reused: 0 }

/** Of this process since its start. */
export const pullStatistics: PullStatistics = {
  counts: () => [...counts.values()],
  times: () => times,
  fetchedBytes: () => bytes,
  layers: () => layers,
}

export function recordPull(end: PullEnd): void {
  const host = bytes.has(end.host) || bytes.size < maxHosts ? end.host : 'other'
  const { outcome } = end
  entryOf(counts, `${host} ${outcome}`, () => ({ host, outcome, count: 0 })).count++
  bytes.set(host, (bytes.get(host) ?? 0) + end.fetchedBytes)
  layers.fetched += end.fetchedLayers
  layers.reused += end.reusedLayers
  if (outcome === 'ok' || outcome === 'present') entryOf(times, host, () => new Histogram(pullBuckets)).add(end.seconds)
}

/** How a pull failed: what was the matter with the registry, where that was it, else the code of the error. */
export function failureOf(err: unknown): string {
  for (let at = err; at instanceof Error; at = at.cause)
    // RegistryError, by its shape: several of its failures have the one code that kubelet wants.
    if ('failure' in at && typeof at.failure === 'string') return at.failure
  return codeOf(err)
}
