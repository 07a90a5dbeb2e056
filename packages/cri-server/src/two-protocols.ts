// One unix socket for gRPC and plain HTTP/1.1: the first bytes of a connection tell which it is.

import type { Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'

export interface Protocols {
  /** Connections that begin with HTTP/2's preface. */
  readonly http2: (socket: Socket) => void
  readonly http1: HttpServer
}

/** HTTP/2 begins with `PRI * HTTP/2.0` (RFC 9113, section 3.4), which no HTTP/1.1 method does. */
const preface = Buffer.from('PRI ')
/** For the first bytes to come. */
const firstBytesMs = 30_000

/** Not listening yet. */
export function createTwoProtocolServer(protocols: Protocols): Server {
  return createServer((socket) => {
    const onError = () => socket.destroy()
    socket.on('error', onError)
    const timer = setTimeout(() => socket.destroy(), firstBytesMs)
    socket.once('close', () => clearTimeout(timer))
    let head = Buffer.alloc(0)
    const look = () => {
      const more: Buffer | null = socket.read()
      if (more !== null) head = Buffer.concat([head, more])
      const isHttp2 = startsAlike(head)
      if (isHttp2 === undefined) {
        socket.once('readable', look)
        return
      }
      clearTimeout(timer)
      socket.off('error', onError)
      // Only now: what is put back is readable at once.
      socket.unshift(head)
      if (isHttp2) protocols.http2(socket)
      else protocols.http1.emit('connection', socket)
    }
    socket.once('readable', look)
  })
}

/** Undefined: more bytes are needed to tell. */
function startsAlike(head: Buffer): boolean | undefined {
  const length = Math.min(head.length, preface.length)
  if (head.compare(preface, 0, length, 0, length) !== 0) return false
  return head.length < preface.length ? undefined : true
}
