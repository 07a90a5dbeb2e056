import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import { failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { http, https } from '@coracle/base/node-http'
import { readCertificate, type TlsFiles, watchCertificate } from '@coracle/streaming'
import { renderExposition } from './exposition.ts'
import type { OwnMetrics } from './own-metrics.ts'

const log = logger('daemon')

const answerMs = 10_000
const limits = { requestTimeout: answerMs, headersTimeout: answerMs, maxHeaderSize: 8192 } as const

export interface MetricsOptions {
  /** One that is not loopback needs `tls`. */
  readonly address: string
  readonly port: number
  readonly tls?: TlsFiles
  /** How often the files of the certificate are looked at. */
  readonly checkCertificateMs?: number
}

export interface MetricsEndpoint extends AsyncDisposable {
  readonly port: number
}

/** Serves GET /metrics, and nothing else. Ends the measuring with itself. */
export async function serveMetrics(options: MetricsOptions, metrics: OwnMetrics): Promise<MetricsEndpoint> {
  const { address, port, tls } = options
  const closing = new AbortController()
  try {
    const answer = (request: IncomingMessage, response: ServerResponse) => answerScrape(metrics, request, response)
    const server =
      tls === undefined
        ? http.createServer(limits, answer)
        : https.createServer({ ...limits, ...readCertificate(tls), minVersion: 'TLSv1.2' }, answer)
    server.maxConnections = 16
    await listening(server, { address, port })
    if (tls !== undefined) {
      const everyMs = options.checkCertificateMs
      // It was made with TLS: the same condition as above.
      watchCertificate(tls, server as TlsServer, { signal: closing.signal, ...(everyMs === undefined ? {} : { everyMs }) })
    }
    const bound = server.address()
    log.info('serving metrics', { address, port, tls: tls !== undefined })
    return {
      port: typeof bound === 'object' && bound !== null ? bound.port : port,
      [Symbol.asyncDispose]: () => {
        metrics[Symbol.dispose]()
        closing.abort()
        server.closeAllConnections()
        return new Promise((resolve) => server.close(() => resolve()))
      },
    }
  } catch (err) {
    metrics[Symbol.dispose]()
    throw failed(`serve metrics on ${address} port ${port} (metrics.address, metrics.port)`, err)
  }
}

function answerScrape(metrics: OwnMetrics, { url, method }: IncomingMessage, response: ServerResponse): void {
  if (url?.split('?')[0] !== '/metrics' || method !== 'GET') {
    response.writeHead(404).end()
    return
  }
  metrics.families(AbortSignal.timeout(answerMs)).then(
    (families) =>
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(renderExposition(families)),
    (err: unknown) => {
      log.warn('metrics could not be told', { error: err })
      response.writeHead(500).end()
    },
  )
}

function listening(server: Server | TlsServer, { address, port }: { address: string; port: number }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, address, resolve)
  return promise
}
