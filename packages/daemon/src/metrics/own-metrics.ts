// What the daemon tells of itself.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { CallStatistics } from '@coracle/cri-server'
import { callBuckets } from '@coracle/cri-server'
import type { Services } from '@coracle/lifecycle'
import type { Family } from './exposition.ts'

const lagResolutionMs = 20

type Needs = Pick<Services, 'pods' | 'containers' | 'images'>

export interface OwnMetrics extends Disposable {
  families(signal: AbortSignal): Promise<readonly Family[]>
}

/** Begins to measure the lag of the event loop, and to count OOM kills. */
export function createOwnMetrics(services: Needs, calls: CallStatistics, version: string): OwnMetrics {
  const delay = monitorEventLoopDelay({ resolution: lagResolutionMs })
  delay.enable()
  let oomKilled = 0
  services.containers.onChange((before, after) => {
    if (before?.state.kind !== 'exited' && after?.state.kind === 'exited' && after.state.reason === 'OOMKilled') oomKilled++
  })
  return {
    families: async (signal) => [
      gauge('coracle_build_info', 'The version that runs.', [{ labels: { version }, value: 1 }]),
      ...callFamilies(calls),
      ...recordFamilies(services),
      {
        ...{ name: 'coracle_containers_oom_killed_total', help: 'Containers that the OOM killer ended.' },
        ...{ type: 'counter', samples: [{ value: oomKilled }] },
      },
      ...(await storeFamilies(services, signal)),
      ...processFamilies(delay),
    ],
    [Symbol.dispose]: () => {
      delay.disable()
    },
  }
}

const gauge = (name: string, help: string, samples: Family['samples']): Family => ({ name, help, type: 'gauge', samples })

function callFamilies(calls: CallStatistics): readonly Family[] {
  return [
    {
      name: 'coracle_calls_total',
      help: 'CRI calls that ended, by RPC and status.',
      type: 'counter',
      samples: calls.counts().map(({ rpc, code, count }) => ({ labels: { rpc, code }, value: count })),
    },
    {
      name: 'coracle_call_duration_seconds',
      help: 'How long CRI calls took.',
      type: 'histogram',
      samples: [...calls.times()].flatMap(([rpc, { withinBucket, count, sumSeconds }]) => [
        ...withinBucket.map((value, index) => ({
          suffix: '_bucket',
          labels: { rpc, le: String(callBuckets[index]) },
          value,
        })),
        { suffix: '_bucket', labels: { rpc, le: '+Inf' }, value: count },
        { suffix: '_sum', labels: { rpc }, value: sumSeconds },
        { suffix: '_count', labels: { rpc }, value: count },
      ]),
    },
  ]
}

function recordFamilies({ pods, containers }: Needs): readonly Family[] {
  const byState = (records: Iterable<{ readonly state: { readonly kind: string } }>): Family['samples'] =>
    [...Map.groupBy(records, ({ state }) => state.kind)].map(([state, { length }]) => ({ labels: { state }, value: length }))
  return [
    gauge('coracle_pods', 'Pods by state.', byState(pods.all())),
    gauge('coracle_containers', 'Containers by state.', byState(containers.all())),
  ]
}

async function storeFamilies({ images }: Needs, signal: AbortSignal): Promise<readonly Family[]> {
  const { usedBytes, inodesUsed } = await images.imageUsage(signal)
  return [
    gauge('coracle_images', 'Images in the store.', [{ value: images.list().length }]),
    gauge('coracle_image_store_bytes', 'Bytes of unpacked image layers.', [{ value: Number(usedBytes) }]),
    gauge('coracle_image_store_inodes', 'Inodes of unpacked image layers.', [{ value: Number(inodesUsed) }]),
  ]
}

/** The lag is that since the last question. What is measured is the time between two ticks, which are `lagResolutionMs` apart. */
function processFamilies(delay: ReturnType<typeof monitorEventLoopDelay>): readonly Family[] {
  const lag = [0.5, 0.99, 1].map((quantile) => {
    const betweenTicks = quantile === 1 ? delay.max : delay.percentile(quantile * 100)
    const value = delay.count === 0 ? 0 : Math.max(betweenTicks / 1e9 - lagResolutionMs / 1000, 0)
    return { labels: { quantile: String(quantile) }, value }
  })
  delay.reset()
  const { rss, heapUsed, external } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  return [
    gauge('coracle_event_loop_lag_seconds', 'Lag of the event loop since the last scrape.', lag),
    gauge('process_resident_memory_bytes', 'Resident memory.', [{ value: rss }]),
    gauge('coracle_heap_used_bytes', 'Heap in use.', [{ value: heapUsed }]),
    gauge('coracle_external_memory_bytes', 'Memory of buffers outside the heap.', [{ value: external }]),
    {
      ...{ name: 'process_cpu_seconds_total', help: 'CPU time used, user and system.' },
      ...{ type: 'counter', samples: [{ value: (user + system) / 1e6 }] },
    },
  ]
}
