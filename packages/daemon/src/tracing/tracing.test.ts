import assert from 'node:assert/strict'
import { test } from 'node:test'
import { beginStage, inStage, stage } from '@coracle/base/stages'
import { eventually } from '@coracle/testkit/eventually'
import { startTraceCollector } from '@coracle/testkit/trace-collector'
import { parseTraceparent } from './trace-context.ts'
import { startTracing } from './tracing.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const joined = `00-${traceId}-${spanId}-01`

async function call(traceparent: string | undefined, work: () => Promise<unknown> = async () => {}): Promise<void> {
  const own = beginStage(['RunPodSandbox', ''], { isCall: true, traceparent, subject: { pod: 'default/web' }, owner: 'r1' })
  await inStage(own, work)
  own.end(undefined)
}

test('parseTraceparent() takes what the specification says', () => {
  assert.deepEqual(parseTraceparent(joined), { traceId, spanId, sampled: true })
  assert.equal(parseTraceparent(`00-${traceId}-${spanId}-00`)?.sampled, false)
  assert.equal(parseTraceparent(`01-${traceId}-${spanId}-03-more`)?.sampled, true)
  for (const bad of [
    '',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
  ]) {
    assert.equal(parseTraceparent(bad), undefined, bad)
  }
})

test('a call joins the trace of its caller, and its stages are spans below it', async () => {
  await using collector = await startTraceCollector()
  await using tracing = startTracing({ url: collector.url, samplesPerMillion: 0, version: '1', delayMs: 10 })
  await call(joined, async () => {
    await stage(['CNI ADD', 'plugin bridge'], () => {})
    await assert.rejects(stage(['OCI create', 'runtime crun'], () => Promise.reject(new Error('no such luck'))))
  })
  await eventually('three spans', () => collector.spans.length === 3)
  const [root, cni, oci] = ['RunPodSandbox', 'CNI ADD', 'OCI create'].map((name) =>
    collector.spans.find((span) => span.name === name),
  )
  for (const span of [root, cni, oci]) assert.equal(span?.traceId, traceId)
  assert.equal(root?.parentSpanId, spanId)
  assert.equal(root?.kind, 2)
  assert.equal(cni?.parentSpanId, root?.spanId)
  assert.equal(cni?.status, undefined)
  assert.deepEqual(oci?.status, { code: 2, message: 'no such luck' })
  const attributes = Object.fromEntries((cni?.attributes ?? []).map(({ key, value }) => [key, value.stringValue]))
  assert.equal(attributes['coracle.on'], 'plugin bridge')
  assert.equal(attributes['coracle.pod.name'], 'default/web')
  assert.ok(Math.abs(Number(BigInt(root?.startTimeUnixNano ?? 0) / 1_000_000n) - Date.now()) < 600_000)
  assert.equal(collector.resources[0]?.['service.name'], 'coracled')
  // The collector has them a moment before its answer is heard.
  await eventually('they are counted', () => tracing.counts().exported === 3)
  assert.deepEqual(tracing.counts(), { exported: 3, dropped: 0, failed: 0 })
})

test('the caller decides what is sampled, else the ratio; background work begins no trace', async () => {
  await using collector = await startTraceCollector()
  {
    await using _none = startTracing({ url: collector.url, samplesPerMillion: 0, version: '1', delayMs: 10 })
    await call(undefined, () => stage(['CNI ADD', ''], () => {}))
    await call('nonsense')
  }
  assert.equal(collector.requests, 0)
  {
    await using _all = startTracing({ url: collector.url, samplesPerMillion: 1_000_000, version: '1', delayMs: 10 })
    await call(`00-${traceId}-${spanId}-00`, () => stage(['not sampled', ''], () => {}))
    await stage(['background', ''], () => {})
    await call(undefined, () => stage(['sampled', ''], () => {}))
  }
  assert.deepEqual(
    collector.spans.map(({ name }) => name),
    ['sampled', 'RunPodSandbox'],
  )
  assert.equal(collector.spans[0]?.parentSpanId, collector.spans[1]?.spanId)
  assert.equal(collector.spans[1]?.parentSpanId, undefined)
  await call(joined)
  assert.equal(collector.spans.length, 2, 'none after the end')
})

test('work that goes on after its call stays in the trace', async () => {
  await using collector = await startTraceCollector()
  const late = Promise.withResolvers<void>()
  let work: Promise<void> | undefined
  {
    await using _tracing = startTracing({ url: collector.url, samplesPerMillion: 0, version: '1', delayMs: 10 })
    await call(joined, async () => {
      work = stage(['run pod', ''], () => late.promise)
    })
    late.resolve()
    await work
  }
  assert.deepEqual(new Set(collector.spans.map((span) => span.traceId)), new Set([traceId]))
  assert.equal(collector.spans.length, 2)
})

test('a collector that fails for a while loses nothing that fits the queue, and what does not fit is counted', async () => {
  await using collector = await startTraceCollector()
  collector.status = 503
  await using tracing = startTracing({
    url: collector.url,
    samplesPerMillion: 1e6,
    version: '1',
    ...{ delayMs: 5, pauseMs: 5, queueMax: 10 },
  })
  for (let i = 0; i < 15; i++) await call(undefined)
  await eventually('it was tried again', () => collector.requests >= 3)
  assert.deepEqual(tracing.counts(), { exported: 0, dropped: 5, failed: 0 })
  collector.status = 200
  await eventually('all are there', () => collector.spans.length === 10)
  collector.status = 400
  await call(undefined)
  await eventually('what is refused for good is given up', () => tracing.counts().failed === 1)
  assert.deepEqual(tracing.counts(), { exported: 10, dropped: 5, failed: 1 })
})

test('a dead or silent collector delays nobody, also at the end', async () => {
  const collector = await startTraceCollector()
  {
    await using tracing = startTracing({ url: 'http://127.0.0.1:1/v1/traces', samplesPerMillion: 1e6, version: '1', delayMs: 1 })
    await call(undefined)
    await eventually('it is tried', () => tracing.counts().exported === 0)
  }
  collector.status = 0
  {
    await using _silent = startTracing({ url: collector.url, samplesPerMillion: 1e6, version: '1', delayMs: 1 })
    await call(undefined)
    await eventually('it was asked', () => collector.requests === 1)
  }
  await collector[Symbol.asyncDispose]()
})
