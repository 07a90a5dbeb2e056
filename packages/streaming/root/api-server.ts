// As much of a Kubernetes API server as kubectl needs to exec, attach and port-forward: one pod, and a proxy to the stream server.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Streaming } from '../src/mod.ts'

const pod = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name: 'p', namespace: 'default', uid: 'u' },
  spec: { containers: [{ name: 'c', image: 'i', stdin: true }] },
  status: { phase: 'Running' },
}

const documents: Readonly<Record<string, object>> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [{ name: 'pods', namespaced: true, kind: 'Pod', verbs: ['get'] }],
  },
  '/api/v1/namespaces/default/pods/p': pod,
}

/** The URL CRI would have answered with, for a request to the pod's subresource. Attach: the container is named by the command. */
function prepare(streaming: Streaming, url: URL): string {
  const { pathname, searchParams } = url
  if (pathname.endsWith('/portforward')) {
    return streaming.portForwardUrl({ podId: 'p', ports: searchParams.getAll('ports').map(Number) })
  }
  const is = (name: string) => searchParams.get(name) === 'true'
  const selection = { tty: is('tty'), stdin: is('stdin'), stdout: is('stdout'), stderr: is('stderr') }
  if (pathname.endsWith('/attach')) return streaming.attachUrl({ containerId: 'cat', ...selection })
  return streaming.execUrl({ containerId: 'c', command: searchParams.getAll('command'), ...selection })
}

/** Passes the upgrade on byte for byte, as the API server and kubelet do with SPDY. */
function proxy(streaming: Streaming, request: IncomingMessage, client: Duplex): void {
  const url = new URL(prepare(streaming, new URL(request.url ?? '/', 'http://x')))
  const server = connect(Number(url.port), url.hostname)
  const lines = [`${request.method} ${url.pathname} HTTP/1.1`]
  for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`)
  server.write(`${lines.join('\r\n')}\r\n\r\n`)
  server.pipe(client)
  client.pipe(server)
  server.on('error', () => client.destroy())
  client.on('error', () => server.destroy())
}

/** Listens on 127.0.0.1. */
export async function startApiServer(streaming: Streaming): Promise<AsyncDisposable & { readonly url: string }> {
  const sockets = new Set<Duplex>()
  const server = createServer((request, response) => {
    const document = documents[(request.url ?? '').split('?')[0] ?? '']
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document ?? {}))
  })
  server.on('connection', (socket) => sockets.add(socket))
  server.on('upgrade', (request, client) => proxy(streaming, request, client))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
