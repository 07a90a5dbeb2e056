// The process itself.
import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { family, single } from './catalogue.ts'
import type { Family } from './exposition.ts'

const lagResolutionMs = 20

export interface ProcessMetrics extends Disposable {
  families(): readonly Family[]
}

/** Begins to measure the lag of the event loop. */
export function createProcessMetrics(): ProcessMetrics {
  const delay = monitorEventLoopDelay({ resolution: lagResolutionMs })
  delay.enable()
  return {
    families: () => {
      const { rss, heapUsed, external } = process.memoryUsage()
      const { user, system } = process.cpuUsage()
      return [
        family('coracle_event_loop_lag_seconds', lagSamples(delay)),
        single('coracle_heap_used_bytes', heapUsed),
        single('coracle_external_memory_bytes', external),
        single('process_cpu_seconds_total', (user + system) / 1e6),
        single('process_resident_memory_bytes', rss),
        single('process_open_fds', readdirSync('/proc/self/fd').length),
        single('process_max_fds', maxFds()),
        single('process_start_time_seconds', performance.timeOrigin / 1000),
      ]
    },
    [Symbol.dispose]: () => {
      delay.disable()
    },
  }
}

/** The lag is that since the last question. What is measured is the time between two ticks, which are `lagResolutionMs` apart. */
function lagSamples(delay: ReturnType<typeof monitorEventLoopDelay>): Family['samples'] {
  const samples = [0.5, 0.99, 1].map((quantile) => {
    const betweenTicks = quantile === 1 ? delay.max : delay.percentile(quantile * 100)
    const value = delay.count === 0 ? 0 : Math.max(betweenTicks / 1e9 - lagResolutionMs / 1000, 0)
    return { labels: { quantile: String(quantile) }, value }
  })
  delay.reset()
  return samples
}

function maxFds(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  return Number(line?.[1] ?? 0)
}
