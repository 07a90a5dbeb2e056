// Sends spans to a collector by OTLP/HTTP in JSON. A collector that is slow, wrong or dead costs a bounded queue and nothing else.

import { CodedError } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { http, https } from '@coracle/base/node-http'
import type { SpanCounts } from '../metrics/own-metrics.ts'
import type { Span } from './span.ts'

const log = logger('daemon')

export interface ExporterOptions {
  /** Of the traces themselves: `http://collector:4318/v1/traces`. */
  readonly url: string
  /** What the spans are told to come from. */
  readonly resource: Readonly<Record<string, string>>
  readonly queueMax?: number
  /** How long spans wait for others to go with them. */
  readonly delayMs?: number
  /** First pause after a collector that did not answer; doubles up to a minute. */
  readonly pauseMs?: number
}

export interface Exporter extends AsyncDisposable {
  add(span: Span): void
  counts(): SpanCounts
}

const batchMax = 512
const answerMs = 10_000
const longestPauseMs = 60_000
/** At the end the last spans get this long. */
const farewellMs = 2000

export function createExporter(options: ExporterOptions): Exporter {
  return new OtlpExporter(options)
}

class OtlpExporter implements Exporter {
  readonly #options: ExporterOptions
  readonly #send: (body: string, signal: AbortSignal) => Promise<number>
  readonly #closing = new AbortController()
  /** For the log: a URL may hold a password. */
  readonly #host: string
  #queue: Span[] = []
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined
  #failures = 0
  #counts = { exported: 0, dropped: 0, failed: 0 }

  constructor(options: ExporterOptions) {
    this.#options = options
    this.#send = sender(options.url)
    this.#host = URL.parse(options.url)?.host ?? ''
  }

  add(span: Span): void {
    const { queueMax = 2048, delayMs = 5000 } = this.#options
    if (this.#queue.length >= queueMax) {
      this.#counts.dropped++
      return
    }
    this.#queue.push(span)
    if (this.#queue.length === batchMax && this.#failures === 0) this.#flushIn(0)
    else if (this.#timer === undefined) this.#flushIn(delayMs)
  }

  counts = (): SpanCounts => this.#counts

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer)
    setTimeout(() => this.#closing.abort(), farewellMs).unref()
    await this.#sending
    if (this.#failures === 0) await this.#flush()
    clearTimeout(this.#timer)
    this.#closing.abort()
  }

  #flushIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#sending ??= this.#flush().finally(() => {
        this.#sending = undefined
        if (this.#queue.length > 0 && this.#timer === undefined) this.#flushIn(this.#pauseMs())
      })
    }, ms).unref()
  }

  #pauseMs(): number {
    const { pauseMs = 1000, delayMs = 5000 } = this.#options
    if (this.#failures === 0) return this.#queue.length >= batchMax ? 0 : delayMs
    return Math.min(pauseMs * 2 ** (this.#failures - 1), longestPauseMs)
  }

  async #flush(): Promise<void> {
    const batch = this.#queue.slice(0, batchMax)
    if (batch.length === 0) return
    const outcome = await this.#deliver(batch)
    if (outcome === 'later') {
      if (this.#failures++ === 0) log.warn('the collector of traces does not take spans', { host: this.#host })
      return
    }
    this.#queue = this.#queue.slice(batch.length)
    if (this.#failures > 0 && outcome === 'exported') log.info('the collector of traces takes spans again', {})
    this.#failures = 0
    this.#counts[outcome] += batch.length
  }

  /** `later`: worth another try. */
  async #deliver(spans: readonly Span[]): Promise<'exported' | 'failed' | 'later'> {
    const body = JSON.stringify({ resourceSpans: [resourceSpans(this.#options.resource, spans)] })
    try {
      const status = await this.#send(body, AbortSignal.any([this.#closing.signal, AbortSignal.timeout(answerMs)]))
      if (status >= 200 && status < 300) return 'exported'
      // OTLP: these ask for a retry, all others say that the spans will never be taken.
      if ([429, 502, 503, 504].includes(status)) return 'later'
      log.warn('the collector of traces refuses spans', { host: this.#host, status })
      return 'failed'
    } catch {
      return 'later'
    }
  }
}

function resourceSpans(resource: Readonly<Record<string, string>>, spans: readonly Span[]): object {
  const attributes = Object.entries(resource).map(([key, stringValue]) => ({ key, value: { stringValue } }))
  return { resource: { attributes }, scopeSpans: [{ scope: { name: 'coracle' }, spans }] }
}

function sender(text: string): (body: string, signal: AbortSignal) => Promise<number> {
  const url = URL.parse(text)
  if (url === null) throw new CodedError('invalid_argument', 'the URL of the collector is malformed')
  const secure = url.protocol === 'https:'
  const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: 1 })
  return (body, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const request = (secure ? https : http).request(url, { method: 'POST', agent, signal, headers }, (response) => {
      response.on('error', reject)
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.resume()
    })
    request.on('error', reject)
    request.end(body)
    return promise
  }
}
