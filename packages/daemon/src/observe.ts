// What the daemon tells of itself, as far as the configuration wants it. What is not wanted is not loaded.
import { join } from 'node:path'
import { callStatistics, pullStatistics } from '@coracle/cri-server'
import type { Config } from './config/config.ts'
import type { Observed, SpanCounts } from './metrics/own-metrics.ts'

export type Observable = Pick<Observed, 'services' | 'images' | 'processes' | 'events' | 'version'>

/** Serves metrics and sends traces when they are configured, until disposed. */
export async function observe(config: Config, parts: Observable): Promise<AsyncDisposable> {
  await using made = new AsyncDisposableStack()
  const spans = await trace(config, parts.version, made)
  if (config.metrics !== undefined) {
    const { serveMetrics } = await import('./metrics/endpoint.ts')
    const { createOwnMetrics } = await import('./metrics/own-metrics.ts')
    const metrics = createOwnMetrics({
      ...parts,
      calls: callStatistics,
      pulls: pullStatistics,
      spans,
      recordsFile: join(config.root, 'records.db'),
    })
    made.use(await serveMetrics(config.metrics, metrics))
  }
  return made.move()
}

async function trace({ tracing }: Config, version: string, made: AsyncDisposableStack): Promise<() => SpanCounts> {
  if (tracing === undefined) return () => ({ exported: 0, dropped: 0, failed: 0 })
  const { startTracing } = await import('./tracing/tracing.ts')
  const { counts } = made.use(startTracing({ ...tracing, version }))
  return counts
}
