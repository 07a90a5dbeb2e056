// Every metric of the daemon: what it is called, what it tells, and how. docs/metrics.md lists them from here.
import type { Family } from './exposition.ts'

export interface Entry {
  readonly type: Family['type']
  readonly help: string
  readonly labels?: readonly string[]
}

export const catalogue = {
  coracle_build_info: { type: 'gauge', help: 'Always 1; says which version runs.', labels: ['version'] },
  coracle_calls_total: { type: 'counter', help: 'Calls that ended, by RPC and gRPC status.', labels: ['rpc', 'code'] },
  coracle_calls_in_progress: { type: 'gauge', help: 'Calls that wait for an answer.', labels: ['rpc'] },
  coracle_call_duration_seconds: { type: 'histogram', help: 'How long calls took.', labels: ['rpc'] },

  coracle_stages_in_progress: { type: 'gauge', help: 'Stages under way (docs/why.md).', labels: ['stage'] },
  coracle_stage_oldest_seconds: { type: 'gauge', help: 'Age of the oldest stage under way.', labels: ['stage'] },
  coracle_stages_stuck: {
    type: 'gauge',
    help: 'Pieces of work that have been in one stage for more than 10 seconds.',
    labels: ['work', 'stage'],
  },
  coracle_stage_duration_seconds: { type: 'histogram', help: 'How long stages took.', labels: ['stage'] },
  coracle_stage_failures_total: { type: 'counter', help: 'Stages that failed.', labels: ['stage'] },

  coracle_pods: { type: 'gauge', help: 'Pods by state.', labels: ['state'] },
  coracle_containers: { type: 'gauge', help: 'Containers by state.', labels: ['state'] },
  coracle_container_exits_total: { type: 'counter', help: 'Containers that ended, by reason.', labels: ['reason'] },
  coracle_containers_oom_killed_total: { type: 'counter', help: 'Containers that the OOM killer ended.' },
  coracle_event_subscribers: { type: 'gauge', help: 'Open streams of container events.' },
  coracle_events_total: { type: 'counter', help: 'Events of pods and containers, told to somebody or not.' },
  coracle_event_subscribers_cut_off_total: {
    type: 'counter',
    help: 'Streams of events ended because their reader was too slow.',
  },

  coracle_image_pulls_total: {
    type: 'counter',
    help: 'Pulls that ended, by registry host and outcome: ok, present (nothing was fetched), or what was the matter.',
    labels: ['host', 'outcome'],
  },
  coracle_image_pull_duration_seconds: { type: 'histogram', help: 'How long successful pulls took.', labels: ['host'] },
  coracle_image_pulled_bytes_total: { type: 'counter', help: 'Compressed bytes of layers that pulls fetched.', labels: ['host'] },
  coracle_image_layers_total: {
    type: 'counter',
    help: 'Layers that pulls needed: fetched, or reused because they were in the store.',
    labels: ['source'],
  },
  coracle_images: { type: 'gauge', help: 'Images in the store.' },
  coracle_image_store_bytes: { type: 'gauge', help: 'Bytes of unpacked image layers.' },
  coracle_image_store_inodes: { type: 'gauge', help: 'Inodes of unpacked image layers.' },
  coracle_writable_layers_bytes: {
    type: 'gauge',
    help: 'Bytes of the writable layers of containers, counted at most once a minute.',
  },
  coracle_writable_layers_inodes: { type: 'gauge', help: 'Inodes of the writable layers of containers.' },
  coracle_records_bytes: { type: 'gauge', help: 'Size of the database of pods and containers, with its log.' },

  coracle_workers: { type: 'gauge', help: 'Worker processes by pool.', labels: ['pool'] },
  coracle_worker_jobs: { type: 'gauge', help: 'Jobs that workers are busy with, by pool.', labels: ['pool'] },
  coracle_programs_stuck: { type: 'gauge', help: 'Programs that were killed and do not end: a process hangs in the kernel.' },
  coracle_event_loop_lag_seconds: {
    type: 'gauge',
    help: 'Lag of the event loop since the last scrape, by quantile.',
    labels: ['quantile'],
  },
  coracle_heap_used_bytes: { type: 'gauge', help: 'JavaScript heap in use.' },
  coracle_external_memory_bytes: { type: 'gauge', help: 'Memory of buffers outside the heap.' },
  coracle_spans_total: {
    type: 'counter',
    help: 'Spans of traces, by outcome: exported, dropped (the queue was full) or failed (the collector did not take them).',
    labels: ['outcome'],
  },

  process_cpu_seconds_total: { type: 'counter', help: 'CPU time used, user and system.' },
  process_resident_memory_bytes: { type: 'gauge', help: 'Resident memory.' },
  process_open_fds: { type: 'gauge', help: 'Open file descriptors.' },
  process_max_fds: { type: 'gauge', help: 'Limit of open file descriptors.' },
  process_start_time_seconds: { type: 'gauge', help: 'Start of the process, seconds since 1970.' },
} as const satisfies Readonly<Record<string, Entry>>

export type MetricName = keyof typeof catalogue

/** The family of a metric, with what the catalogue says of it. */
export function family(name: MetricName, samples: Family['samples']): Family {
  const { type, help }: Entry = catalogue[name]
  return { name, type, help, samples }
}

/** A metric of one number. */
export const single = (name: MetricName, value: number): Family => family(name, [{ value }])

/** For docs/metrics.md. */
export function catalogueTable(): string {
  const rows = Object.entries(catalogue).map(([name, entry]: [string, Entry]) => {
    const labels = (entry.labels ?? []).map((label) => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${entry.type} | ${labels} | ${entry.help} |`
  })
  return ['| metric | type | labels | what it tells |', '|---|---|---|---|', ...rows].join('\n')
}
