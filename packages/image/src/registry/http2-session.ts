// HTTP/2 with one origin (RFC 9113): many requests on one connection, each with a window wide enough for a layer.
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { connectionFailed, RegistryError } from './errors.ts'
import type { HttpResponse, OneRequest } from './transport.ts'

export interface Session {
  usable(): boolean
  send(request: OneRequest, url: URL): Promise<HttpResponse>
  close(): void
}

// What may be on the way unread: of one stream, and of all. The protocol's own 64 KiB would be one round trip each.
const streamWindowBytes = 4 * 1024 * 1024
const sessionWindowBytes = 16 * 1024 * 1024

export async function openSession(url: URL, socket: TLSSocket): Promise<Session> {
  // Loaded when a server speaks it: most do not, and an unpack worker starts sooner without.
  const session = process.getBuiltinModule('node:http2').connect(url.origin, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: streamWindowBytes },
    // In MB: above it Node refuses new streams, and what is on the way counts.
    maxSessionMemory: 64,
  })
  let leaving = false
  session.on('goaway', () => {
    leaving = true
  })
  // Every stream tells its own failure.
  session.on('error', () => {})
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  session.once('connect', () => resolve())
  session.once('close', () => reject(new RegistryError('unavailable', `talk to ${url.host}: it closed the connection`)))
  await promise
  session.setLocalWindowSize(sessionWindowBytes)
  return {
    usable: () => !leaving && !session.closed && !session.destroyed,
    send: (request, target) => send(session, request, target),
    close: () => session.destroy(),
  }
}

// Meaningless or forbidden between the two ends of one HTTP/2 connection (section 8.2.2).
const connectionHeaders = new Set(['connection', 'host', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

function send(session: ClientHttp2Session, request: OneRequest, url: URL): Promise<HttpResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
  const own = Object.entries(request.headers).filter(([name]) => !connectionHeaders.has(name.toLowerCase()))
  const headers = { ...Object.fromEntries(own), ':method': request.method, ':path': `${url.pathname}${url.search}` }
  try {
    const stream = session.request(headers, { endStream: request.body === undefined, signal: request.signal })
    const answering = setTimeout(
      () => stream.destroy(new RegistryError('unavailable', `ask ${url.host}: no answer in time`)),
      request.answerTimeoutMs,
    )
    const done = () => clearTimeout(answering)
    stream.once('response', (answer: IncomingHttpHeaders & { ':status'?: number }) => {
      done()
      resolve(Object.assign(stream, { statusCode: answer[':status'], headers: answer, httpVersion: '2.0' }))
    })
    stream.on('error', (err) => reject(request.signal.aborted ? request.signal.reason : connectionFailed(url.host, err)))
    stream.once('close', () => {
      done()
      // Also without an error, when the whole connection goes.
      reject(new RegistryError('unavailable', `talk to ${url.host}: ERR_HTTP2_STREAM_CLOSED before an answer`))
    })
    if (request.body !== undefined) stream.end(request.body)
  } catch (err) {
    // The session ended between the look at it and the request.
    reject(connectionFailed(url.host, err))
  }
  return promise
}
