// A registry at the end of a long line: a proxy on loopback that delays what passes and gives each connection no more than TCP would get
// with such a round-trip time and loss: MSS · 1.22 / (RTT · √loss), after Mathis et al., 1997. For kernels without netem, and
// without touching anybody's interfaces.
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from '@coracle/testkit/registry'

export interface LinkOptions {
  /** `127.0.0.1:PORT` */
  readonly upstream: string
  readonly roundTripMs: number
  /** 0 to 1. */
  readonly loss: number
}

export interface Link extends AsyncDisposable {
  readonly host: string
}

const segmentBytes = 1460

export async function openLink(options: LinkOptions): Promise<Link> {
  const { roundTripMs, loss } = options
  const bytesPerMs = loss === 0 ? Number.POSITIVE_INFINITY : (segmentBytes * 1.22) / (roundTripMs * Math.sqrt(loss))
  const [host = '', port = ''] = options.upstream.split(':')
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect({ host, port: Number(port) })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => {})
    }
    // The handshake takes a round trip, too: it is added to the first bytes.
    forward(client, upstream, { delayMs: roundTripMs / 2, firstMs: roundTripMs, bytesPerMs })
    forward(upstream, client, { delayMs: roundTripMs / 2, firstMs: 0, bytesPerMs })
  })
  const own = await freePort()
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve))
  return {
    host: `127.0.0.1:${own}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Direction {
  readonly delayMs: number
  readonly firstMs: number
  readonly bytesPerMs: number
}

// What is on the way is bounded by what a window would hold.
const maxQueuedBytes = 4 * 1024 * 1024

function forward(from: Socket, to: Socket, { delayMs, firstMs, bytesPerMs }: Direction): void {
  let freeAt = performance.now() + firstMs
  let queued = 0
  from.on('data', (chunk: Buffer) => {
    const now = performance.now()
    freeAt = Math.max(freeAt, now) + chunk.length / bytesPerMs
    queued += chunk.length
    if (queued > maxQueuedBytes || freeAt - now > 200) from.pause()
    setTimeout(
      () => {
        queued -= chunk.length
        if (!to.destroyed) to.write(chunk)
        from.resume()
      },
      freeAt - now + delayMs,
    )
  })
  from.on('close', () => {
    setTimeout(() => to.destroySoon(), Math.max(0, freeAt - performance.now()) + delayMs + 50)
  })
}
