// Every stage that is sampled becomes a span: of the caller's trace where the call names one, else of one that begins with the call.
import { hostname } from 'node:os'
import { listenToStages } from '@coracle/base/stages'
import type { SpanCounts } from '../metrics/own-metrics.ts'
import { createExporter, type ExporterOptions } from './exporter.ts'
import { spanOf } from './span.ts'
import { childOf, newTrace, parseTraceparent } from './trace-context.ts'

export interface TracingOptions extends Pick<ExporterOptions, 'url' | 'queueMax' | 'delayMs' | 'pauseMs'> {
  /** Of a million calls that come without a trace, how many begin one. The caller's own decision is followed always. */
  readonly samplesPerMillion: number
  readonly version: string
}

export interface Tracing extends AsyncDisposable {
  counts(): SpanCounts
}

/** From now on, until disposed; what was not sent by then gets two seconds. */
export function startTracing({ samplesPerMillion, version, ...exporterOptions }: TracingOptions): Tracing {
  const resource = { 'service.name': 'coracled', 'service.version': version, 'host.name': hostname() }
  const exporter = createExporter({ ...exporterOptions, resource })
  const listening = listenToStages({
    started(stage, around) {
      if (around?.trace !== undefined) {
        stage.trace = childOf(around.trace)
        return
      }
      // Work in the background that nobody asked for begins no trace.
      if (!stage.isCall) return
      const caller = stage.traceparent === undefined ? undefined : parseTraceparent(stage.traceparent)
      stage.trace = caller === undefined ? newTrace(Math.random() * 1e6 < samplesPerMillion) : childOf(caller)
    },
    ended(stage, { error }) {
      const span = spanOf(stage, error)
      if (span !== undefined) exporter.add(span)
    },
  })
  return {
    counts: () => exporter.counts(),
    async [Symbol.asyncDispose]() {
      listening[Symbol.dispose]()
      await exporter[Symbol.asyncDispose]()
    },
  }
}
