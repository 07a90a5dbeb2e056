// A registry in front of another: it counts what is asked of it, takes its time over blobs, may want credentials.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface SlowRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  /** Paths of all GET requests that were let through so far. */
  requests(): readonly string[]
}

export interface SlowRegistryOptions {
  /** Waited before the body of each blob. */
  readonly blobDelayMs?: number
  /** `user:password` that every request must give. */
  readonly credentials?: string
}

/** Passes all requests on to the registry at `upstream`. */
export async function slowRegistry(upstream: string, options: SlowRegistryOptions = {}): Promise<SlowRegistry> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  const expected = options.credentials === undefined ? undefined : `Basic ${Buffer.from(options.credentials).toString('base64')}`
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    if (expected !== undefined && request.headers.authorization !== expected) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end('{"errors":[{"code":"UNAUTHORIZED"}]}')
      return
    }
    if (request.method === 'GET') requests.push(path)
    if (path.includes('/blobs/')) await sleep(options.blobDelayMs ?? 0)
    const { accept, range } = request.headers
    const reply = await fetch(`http://${upstream}${path}`, {
      method: request.method ?? 'GET',
      headers: { ...(accept ? { accept } : {}), ...(range ? { range } : {}), 'accept-encoding': 'identity' },
    })
    const kept = ['content-type', 'content-length', 'content-range', 'docker-content-digest']
    const headers = kept.flatMap((name) => (reply.headers.has(name) ? [[name, reply.headers.get(name) ?? '']] : []))
    response.writeHead(reply.status, Object.fromEntries(headers))
    response.end(request.method === 'HEAD' ? undefined : Buffer.from(await reply.arrayBuffer()))
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // Listening on TCP: the address is not a path.
  const { port } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${port}`,
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
