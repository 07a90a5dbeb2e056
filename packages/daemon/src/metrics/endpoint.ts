import { createServer, type Server } from 'node:http'
import { failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { renderExposition } from './exposition.ts'
import type { OwnMetrics } from './own-metrics.ts'

const log = logger('daemon')

const answerMs = 10_000

/** Serves GET /metrics on the loopback address only: it tells nothing to other machines, and takes nothing from anybody. */
export async function serveMetrics(port: number, metrics: OwnMetrics): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(
    { requestTimeout: answerMs, headersTimeout: answerMs, maxHeaderSize: 8192 },
    (request, response) => {
      if (request.url !== '/metrics' || request.method !== 'GET') {
        response.writeHead(404).end()
        return
      }
      metrics.families(AbortSignal.timeout(answerMs)).then(
        (families) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(renderExposition(families)),
        (err: unknown) => {
          log.warn('metrics could not be told', { error: err })
          response.writeHead(500).end()
        },
      )
    },
  )
  server.maxConnections = 16
  try {
    await listening(server, port)
  } catch (err) {
    metrics[Symbol.dispose]()
    throw failed(`serve metrics on port ${port} (metrics.port)`, err)
  }
  const address = server.address()
  log.info('serving metrics', { port })
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    [Symbol.asyncDispose]: () => {
      metrics[Symbol.dispose]()
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function listening(server: Server, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, '127.0.0.1', resolve)
  return promise
}
