// The gRPC calls on one connection to a unix socket, in bytes: no knowledge of messages.
import { CodedError, failed } from '@coracle/base/errors'
import { timeoutError } from '@coracle/base/signals'
import { frame, unframe } from './grpc-frames.ts'
import { statusError } from './grpc-status.ts'
import { Http2Connection } from './http2/connection.ts'
import type { ClientStream } from './http2/stream.ts'

export type RawCallOptions = {
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** grpc-timeout has at most eight digits. */
const MAX_TIMEOUT_MS = 99_999_999

type Call = {
  readonly stream: ClientStream
  /** Resolves when the server has said OK, rejects with its status or what came between. Never unhandled. */
  readonly status: Promise<void>
}

export class GrpcConnection {
  readonly socketPath: string
  #connection: Http2Connection | undefined
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
        // The status, when there is one, says more than the broken stream.
        stream.cancel(failed(`call ${path}`, err))
        await status
        throw err
      } finally {
        stream.cancel(new CodedError('canceled', `call ${path}: nobody reads it any more`))
      }
    })()
  }

  async close(): Promise<void> {
    this.#closed = true
    const connection = this.#connection
    this.#connection = undefined
    await connection?.close()
  }

  #open(path: string, request: Uint8Array, { timeoutMs, signal, metadata }: RawCallOptions): Call {
    if (this.#closed) throw new CodedError('canceled', `call ${path}: the client is closed`)
    if (signal?.aborted) throw failed(`call ${path}`, signal.reason)
    const stream = this.#connected().request(
      [...requestHeaders(path, timeoutMs), ...Object.entries(metadata ?? {})],
      frame(request),
    )
    const onAbort = () => stream.cancel(failed(`call ${path}`, signal?.reason))
    signal?.addEventListener('abort', onAbort, { once: true })
    const timer = timeoutMs ? setTimeout(() => stream.cancel(timeoutError(`call ${path}`, timeoutMs)), timeoutMs) : undefined
    const status = Promise.withResolvers<void>()
    status.promise.catch(() => {})
    stream.onHeaders = (headers) => {
      const isLast = headers.has('grpc-status')
      if (!isLast && headers.get(':status') === '200') return
      const err = statusError(path, headers)
      if (err) status.reject(err)
      else status.resolve()
    }
    stream.onEnd = (err) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      status.reject(err ? this.#streamError(path, err) : new CodedError('internal', `${path} ended without a status`))
    }
    return { stream, status: status.promise }
  }

  #connected(): Http2Connection {
    if (!this.#connection?.usable) this.#connection = new Http2Connection(this.socketPath)
    return this.#connection
  }

  #streamError(path: string, err: Error): CodedError {
    if (this.#closed) return new CodedError('canceled', `call ${path}: the client was closed`)
    const errno = 'code' in err && 'syscall' in err ? String(err.code) : ''
    const socket = this.socketPath
    const nobody = { ENOENT: 'there is no such socket', ECONNREFUSED: 'nobody listens on it', ENOTSOCK: 'it is not a socket' }[
      errno
    ]
    // These say all there is to say: the errors of node below them would only repeat it.
    if (nobody)
      return new CodedError(
        'unavailable',
        `no CRI server at ${socket}: ${nobody}; start the daemon (systemctl start coracle) or name the right socket`,
      )
    if (errno === 'EACCES' || errno === 'EPERM')
      return new CodedError('permission_denied', `may not open ${socket}: run as root or as a member of its group`)
    if (err instanceof CodedError) return err
    return new CodedError('unavailable', `call ${path} on ${socket}`, { cause: err })
  }
}

function requestHeaders(path: string, timeoutMs: number | undefined): [string, string][] {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
    ['user-agent', 'coracle'],
    ...(timeoutMs ? [['grpc-timeout', `${Math.min(Math.ceil(timeoutMs), MAX_TIMEOUT_MS)}m`] satisfies [string, string]] : []),
  ]
}
