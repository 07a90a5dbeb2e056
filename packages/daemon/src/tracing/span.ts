// Spans as OTLP/HTTP has them in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
import type { Stage } from '@coracle/base/stages'

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue: string }
}

export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 1: internal, 2: server, 3: client. */
  readonly kind: 1 | 2 | 3
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  /** 2: error. */
  readonly status?: { readonly code: 2; readonly message: string }
}

/** By what OpenTelemetry's conventions call it, where they do. */
const attributeNames: Readonly<Record<string, string>> = {
  podId: 'coracle.pod.id',
  pod: 'coracle.pod.name',
  containerId: 'container.id',
  container: 'k8s.container.name',
  image: 'container.image.name',
}

const messageMaxLength = 2000

/** Undefined when the stage is in no trace that is kept. */
export function spanOf(stage: Stage, error: string | undefined): Span | undefined {
  const { trace, kind, on, isCall, isSession, startedMs, endedMs = startedMs } = stage
  if (trace === undefined || !trace.sampled) return undefined
  // The monotonic clock against the wall clock of now: that of the start may have been corrected since.
  const toWallMs = Date.now() - performance.now()
  const nanoseconds = (ms: number) => String(BigInt(Math.round((toWallMs + ms) * 1000)) * 1000n)
  return {
    traceId: trace.traceId,
    spanId: trace.spanId,
    ...(trace.parentSpanId === undefined ? {} : { parentSpanId: trace.parentSpanId }),
    name: kind,
    kind: isCall || isSession ? 2 : kind === 'registry' ? 3 : 1,
    startTimeUnixNano: nanoseconds(startedMs),
    endTimeUnixNano: nanoseconds(endedMs),
    attributes: attributesOf(stage, on),
    ...(error === undefined ? {} : { status: { code: 2 as const, message: error.slice(0, messageMaxLength) } }),
  }
}

function attributesOf({ subject, owner, isCall, kind }: Stage, on: string): readonly Attribute[] {
  const pairs: [string, string][] = Object.entries(subject).map(([name, value]) => [attributeNames[name] ?? name, value])
  if (on !== '') pairs.push(['coracle.on', on])
  if (owner !== '') pairs.push(['coracle.request', owner])
  if (isCall) pairs.push(['rpc.system', 'grpc'], ['rpc.method', kind])
  return pairs.map(([key, stringValue]) => ({ key, value: { stringValue } }))
}
