// W3C Trace Context (https://www.w3.org/TR/trace-context/): where a call stands in its caller's trace.
import { randomBytes } from 'node:crypto'
import type { TraceContext } from '@coracle/base/stages'

export interface Caller {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

/** Undefined when it is malformed: then the trace begins here. Later versions may add fields behind ours. */
export function parseTraceparent(text: string): Caller | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text)
  if (match === null) return undefined
  const [, version = '', traceId = '', spanId = '', flags = '', more] = match
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

const newSpanId = (): string => randomBytes(8).toString('hex')

/** A span below the caller's or one of our own. What is not sampled costs no id. */
export function childOf(parent: Caller | TraceContext): TraceContext {
  const { traceId, sampled, spanId } = parent
  return { traceId, sampled, spanId: sampled ? newSpanId() : '', parentSpanId: spanId }
}

export function newTrace(sampled: boolean): TraceContext {
  if (!sampled) return { traceId: '', spanId: '', parentSpanId: undefined, sampled }
  return { traceId: randomBytes(16).toString('hex'), spanId: newSpanId(), parentSpanId: undefined, sampled }
}
