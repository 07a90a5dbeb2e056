// Calls and pulls.
import { type CallStatistics, callBuckets, type PullStatistics, pullBuckets } from '@coracle/cri-server'
import { family } from './catalogue.ts'
import { type Family, histogramSamples } from './exposition.ts'

export function callFamilies(calls: CallStatistics): readonly Family[] {
  return [
    family(
      'coracle_calls_total',
      calls.counts().map(({ rpc, code, count }) => ({ labels: { rpc, code }, value: count })),
    ),
    family(
      'coracle_calls_in_progress',
      [...calls.inProgress()].map(([rpc, value]) => ({ labels: { rpc }, value })),
    ),
    family(
      'coracle_call_duration_seconds',
      [...calls.times()].flatMap(([rpc, values]) => histogramSamples({ rpc }, callBuckets, values)),
    ),
  ]
}

export function pullFamilies(pulls: PullStatistics): readonly Family[] {
  const { fetched, reused } = pulls.layers()
  return [
    family(
      'coracle_image_pulls_total',
      pulls.counts().map(({ host, outcome, count }) => ({ labels: { host, outcome }, value: count })),
    ),
    family(
      'coracle_image_pull_duration_seconds',
      [...pulls.times()].flatMap(([host, values]) => histogramSamples({ host }, pullBuckets, values)),
    ),
    family(
      'coracle_image_pulled_bytes_total',
      [...pulls.fetchedBytes()].map(([host, value]) => ({ labels: { host }, value })),
    ),
    family('coracle_image_layers_total', [
      { labels: { source: 'fetched' }, value: fetched },
      { labels: { source: 'reused' }, value: reused },
    ]),
  ]
}
