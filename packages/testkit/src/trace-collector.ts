// A collector of traces in this process: takes OTLP/HTTP in JSON and keeps the spans.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface CollectedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[]
  readonly status?: { readonly code: number; readonly message: string }
}

export interface TraceCollector extends AsyncDisposable {
  /** Where spans are sent to. */
  readonly url: string
  readonly spans: CollectedSpan[]
  readonly resources: Record<string, string>[]
  /** The status of the next answers; 0: none is given. */
  status: number
  requests: number
}

export async function startTraceCollector(): Promise<TraceCollector> {
  const server = createServer(async (request, response) => {
    collector.requests++
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    if (collector.status === 0) return
    if (collector.status === 200) keep(collector, request.headers['content-type'], Buffer.concat(chunks).toString())
    response.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // Listening on TCP: the address is not a path.
  const { port } = server.address() as AddressInfo
  const collector: TraceCollector = {
    url: `http://127.0.0.1:${port}/v1/traces`,
    spans: [],
    resources: [],
    status: 200,
    requests: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return collector
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: CollectedSpan['attributes'] }
    readonly scopeSpans: readonly { readonly spans: readonly CollectedSpan[] }[]
  }[]
}

/** Strict about what every collector is: ids in lower-case hex, times in order. */
function keep(collector: TraceCollector, contentType: string | undefined, body: string): void {
  if (contentType !== 'application/json') throw new Error(`content-type ${contentType}`)
  const { resourceSpans } = JSON.parse(body) as Export
  for (const { resource, scopeSpans } of resourceSpans) {
    collector.resources.push(Object.fromEntries(resource.attributes.map(({ key, value }) => [key, value.stringValue])))
    for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
      if (!/^[0-9a-f]{32}$/.test(span.traceId) || !/^[0-9a-f]{16}$/.test(span.spanId))
        throw new Error(`ids of ${JSON.stringify(span)}`)
      if (span.parentSpanId !== undefined && !/^[0-9a-f]{16}$/.test(span.parentSpanId)) throw new Error('parent id')
      if (BigInt(span.endTimeUnixNano) < BigInt(span.startTimeUnixNano)) throw new Error('ends before it starts')
      collector.spans.push(span)
    }
  }
}
