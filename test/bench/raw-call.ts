// A unary gRPC call whose reply is not decoded: what is measured is the server, not our client.
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'

export interface RawConnection extends Disposable {
  /** Sends an empty message to `/service/method`; resolves to the reply's size in bytes. Rejects when the status is not OK. */
  call(path: string): Promise<number>
}

export function openRaw(socket: string): RawConnection {
  const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(socket) })
  const call = (path: string): Promise<number> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' })
    let bytes = 0
    let status: unknown
    stream.on('response', (headers) => {
      status = headers['grpc-status']
    })
    stream.on('trailers', (trailers) => {
      status = trailers['grpc-status']
    })
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    stream.on('end', () => (String(status) === '0' ? resolve(bytes) : reject(new Error(`${path}: grpc-status ${status}`))))
    stream.on('error', reject)
    // Flag 0 (not compressed), length 0: the empty message.
    stream.end(Buffer.alloc(5))
    return promise
  }
  return { call, [Symbol.dispose]: () => session.close() }
}
