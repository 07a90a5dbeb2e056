// One HTTP/2 connection over a unix socket and the gRPC calls on it, in bytes: no knowledge of messages.
import http2 from 'node:http2'
import net from 'node:net'
import { CodedError, failed } from '@coracle/base/errors'
import { timeoutError } from '@coracle/base/signals'
import { frame, unframe } from './grpc-frames.ts'
import { statusError } from './grpc-status.ts'

const WINDOW_BYTES = 8 << 20

export type RawCallOptions = { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined }

type Call = {
  readonly stream: http2.ClientHttp2Stream
  /** Resolves when the server has said OK, rejects with its status otherwise. Never unhandled. */
  readonly status: Promise<void>
}

export class GrpcConnection {
  readonly socketPath: string
  #session: http2.ClientHttp2Session | undefined
  #inFlight = 0
  #closed = false

  constructor(socketPath: string) {
    this.socketPath = socketPath
  }

  async unary(path: string, request: Uint8Array, options: RawCallOptions): Promise<Uint8Array> {
    let reply: Uint8Array | undefined
    for await (const message of this.stream(path, request, options)) {
      if (reply) throw new CodedError('internal', `${path} answered with more than one message`)
      reply = message
    }
    if (!reply) throw new CodedError('internal', `${path} answered without a message`)
    return reply
  }

  /** Sends at once; the replies are read as they are asked for. Leaving the iteration early resets the stream. */
  stream(path: string, request: Uint8Array, options: RawCallOptions): AsyncIterable<Uint8Array> {
    const { stream, status } = this.#open(path, request, options)
    return (async function* () {
      try {
        yield* unframe(stream)
        await status
      } catch (err) {
        // The status, when there is one, says more than the stream's own error.
        if (!(err instanceof CodedError)) {
          await status
          throw failed(`call ${path}`, err)
        }
        throw err
      } finally {
        if (!stream.closed) stream.close(http2.constants.NGHTTP2_CANCEL)
      }
    })()
  }

  async close(): Promise<void> {
    this.#closed = true
    const session = this.#session
    this.#session = undefined
    if (!session || session.destroyed) return
    const closed = Promise.withResolvers<void>()
    session.once('close', closed.resolve)
    session.ref()
    session.destroy()
    await closed.promise
  }

  #open(path: string, request: Uint8Array, { timeoutMs, signal }: RawCallOptions): Call {
    if (this.#closed) throw new CodedError('canceled', `call ${path}: the client is closed`)
    if (signal?.aborted) throw failed(`call ${path}`, signal.reason)
    const session = this.#connected()
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      ':authority': 'localhost',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'coracle',
      ...(timeoutMs ? { 'grpc-timeout': `${Math.min(Math.ceil(timeoutMs), 99_999_999)}m` } : {}),
    })
    this.#hold(session, stream)
    const status = Promise.withResolvers<void>()
    status.promise.catch(() => {})
    const abort = (err: CodedError) => {
      status.reject(err)
      stream.close(http2.constants.NGHTTP2_CANCEL)
    }
    const onAbort = () => abort(failed(`call ${path}`, signal?.reason))
    signal?.addEventListener('abort', onAbort, { once: true })
    const timer = timeoutMs ? setTimeout(() => abort(timeoutError(`call ${path}`, timeoutMs)), timeoutMs) : undefined
    const settle = (headers: http2.IncomingHttpHeaders) => {
      const err = statusError(path, headers)
      if (err) status.reject(err)
      else status.resolve()
    }
    stream.on('response', (headers) => {
      if (headers['grpc-status'] !== undefined || headers[':status'] !== 200) settle(headers)
    })
    stream.on('trailers', settle)
    stream.on('error', (err) => status.reject(this.#streamError(path, err)))
    stream.on('close', () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      status.reject(
        new CodedError(
          'unavailable',
          this.#closed ? `call ${path}: the client was closed` : `${this.socketPath} closed the connection during ${path}`,
        ),
      )
    })
    stream.end(frame(request))
    return { stream, status: status.promise }
  }

  /** Keeps the process alive while the call lasts, and no longer. */
  #hold(session: http2.ClientHttp2Session, stream: http2.ClientHttp2Stream): void {
    if (this.#inFlight++ === 0) session.ref()
    stream.once('close', () => {
      if (--this.#inFlight === 0 && !session.destroyed) session.unref()
    })
  }

  #connected(): http2.ClientHttp2Session {
    if (this.#session && !this.#session.destroyed && !this.#session.closed) return this.#session
    const session = http2.connect('http://localhost', {
      createConnection: () => net.connect(this.socketPath),
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      maxSessionMemory: 256,
    })
    session.once('connect', () => session.setLocalWindowSize(WINDOW_BYTES))
    // Every call in flight gets the error through its own stream; without a listener it would end the process.
    session.on('error', () => {})
    session.once('goaway', () => session.close())
    this.#session = session
    return session
  }

  #streamError(path: string, err: Error): CodedError {
    const errno = errnoOf(err)
    const socket = this.socketPath
    const start = 'start the daemon (systemctl start coracle) or name the right socket'
    if (errno === 'ENOENT')
      return new CodedError('unavailable', `no CRI server at ${socket}: there is no such socket; ${start}`, { cause: err })
    if (errno === 'ECONNREFUSED')
      return new CodedError('unavailable', `no CRI server at ${socket}: nobody listens on it; ${start}`, { cause: err })
    if (errno === 'ENOTSOCK')
      return new CodedError('unavailable', `no CRI server at ${socket}: it is not a socket; ${start}`, { cause: err })
    if (errno === 'EACCES' || errno === 'EPERM')
      return new CodedError('permission_denied', `may not open ${socket}: run as root or as a member of its group`, {
        cause: err,
      })
    return new CodedError('unavailable', `call ${path} on ${socket}`, { cause: err })
  }
}

/** Node wraps a failed connect into the error of the stream that waited for it. */
function errnoOf(err: unknown): string {
  for (let cause = err; cause instanceof Error; cause = cause.cause) {
    if ('syscall' in cause && 'code' in cause) return String(cause.code)
  }
  return ''
}
