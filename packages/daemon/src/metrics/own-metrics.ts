// What the daemon tells of itself.
import { statSync } from 'node:fs'
import { within } from '@coracle/base/signals'
import type { CallStatistics, PullStatistics } from '@coracle/cri-server'
import type { Host } from '@coracle/host'
import type { ReloadableImages } from '@coracle/image'
import type { Events, Services } from '@coracle/lifecycle'
import { callFamilies, pullFamilies } from './call-metrics.ts'
import { family, single } from './catalogue.ts'
import type { Family } from './exposition.ts'
import { createProcessMetrics } from './process-metrics.ts'
import { createStageMetrics } from './stage-metrics.ts'

/** Nobody who wants to know why a disk hangs is to wait for that disk: half of a scraper's patience is for all the rest. */
const countMs = 5000

/** Spans of traces since the start; all 0 while there are none. */
export interface SpanCounts {
  readonly exported: number
  readonly dropped: number
  readonly failed: number
}

export interface Observed {
  readonly services: Pick<Services, 'pods' | 'containers'>
  readonly images: Pick<ReloadableImages, 'list' | 'imageUsage' | 'containerUsage' | 'workers'>
  readonly processes: Pick<Host['processes'], 'stuck'>
  readonly events: Pick<Events, 'statistics'>
  readonly calls: CallStatistics
  readonly pulls: PullStatistics
  readonly spans: () => SpanCounts
  readonly version: string
  /** The database of pods and containers. */
  readonly recordsFile: string
}

export interface OwnMetrics extends Disposable {
  /** One for each entry of the catalogue. */
  families(signal: AbortSignal): Promise<readonly Family[]>
}

/** Begins to measure and to count. */
export function createOwnMetrics(observed: Observed): OwnMetrics {
  using made = new DisposableStack()
  const own = made.use(createProcessMetrics())
  const stages = made.use(createStageMetrics())
  const exits = countExits(observed)
  const owned = made.move()
  return {
    families: async (signal) => [
      family('coracle_build_info', [{ labels: { version: observed.version }, value: 1 }]),
      ...callFamilies(observed.calls),
      ...stages.families(),
      ...recordFamilies(observed),
      ...exits(),
      ...eventFamilies(observed),
      ...pullFamilies(observed.pulls),
      ...(await storeFamilies(observed, signal)),
      ...workerFamilies(observed),
      ...own.families(),
    ],
    [Symbol.dispose]: () => owned.dispose(),
  }
}

function countExits({ services }: Observed): () => readonly Family[] {
  const reasons = new Map<string, number>([['OOMKilled', 0]])
  services.containers.onChange((before, after) => {
    if (before?.state.kind === 'exited' || after?.state.kind !== 'exited') return
    const reason = after.state.reason === '' ? 'Completed' : after.state.reason
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  })
  return () => [
    family(
      'coracle_container_exits_total',
      [...reasons].map(([reason, value]) => ({ labels: { reason }, value })),
    ),
    single('coracle_containers_oom_killed_total', reasons.get('OOMKilled') ?? 0),
  ]
}

function recordFamilies({ services: { pods, containers } }: Observed): readonly Family[] {
  const byState = (records: Iterable<{ readonly state: { readonly kind: string } }>): Family['samples'] =>
    [...Map.groupBy(records, ({ state }) => state.kind)].map(([state, { length }]) => ({ labels: { state }, value: length }))
  return [family('coracle_pods', byState(pods.all())), family('coracle_containers', byState(containers.all()))]
}

function eventFamilies({ events }: Observed): readonly Family[] {
  const { subscribers, events: told, cutOff } = events.statistics()
  return [
    single('coracle_event_subscribers', subscribers),
    single('coracle_events_total', told),
    single('coracle_event_subscribers_cut_off_total', cutOff),
  ]
}

async function storeFamilies({ images, recordsFile }: Observed, signal: AbortSignal): Promise<readonly Family[]> {
  const writable = images.containerUsage(within(signal, countMs)).catch(() => undefined)
  const [layers, counted] = await Promise.all([images.imageUsage(signal), writable])
  return [
    single('coracle_images', images.list().length),
    single('coracle_image_store_bytes', Number(layers.usedBytes)),
    single('coracle_image_store_inodes', Number(layers.inodesUsed)),
    family('coracle_writable_layers_bytes', counted === undefined ? [] : [{ value: Number(counted.usedBytes) }]),
    family('coracle_writable_layers_inodes', counted === undefined ? [] : [{ value: Number(counted.inodesUsed) }]),
    single('coracle_records_bytes', sizeOf(recordsFile) + sizeOf(`${recordsFile}-wal`)),
  ]
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

function workerFamilies({ images, processes, spans }: Observed): readonly Family[] {
  const { running, jobs } = images.workers()
  return [
    family('coracle_workers', [{ labels: { pool: 'unpack' }, value: running }]),
    family('coracle_worker_jobs', [{ labels: { pool: 'unpack' }, value: jobs }]),
    single('coracle_programs_stuck', processes.stuck()),
    family(
      'coracle_spans_total',
      Object.entries(spans()).map(([outcome, value]) => ({ labels: { outcome }, value })),
    ),
  ]
}
