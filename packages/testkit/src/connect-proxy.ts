// A forward proxy in this process: CONNECT for TLS, whole URLs for plain HTTP. It knows where each name shall lead.
import http, { type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface ConnectProxy extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  /** `CONNECT host:port` and `GET URL`, in order, refused ones too. */
  readonly asked: readonly string[]
}

export interface ConnectProxyOptions {
  /** `user:password` that every request must give. */
  readonly credentials?: string
  /** `host:port` of loopback by `host:port` asked for. Others are unreachable. */
  readonly routes: Readonly<Record<string, string>>
}

export async function startConnectProxy({ credentials, routes }: ConnectProxyOptions): Promise<ConnectProxy> {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const expected = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
  const mayPass = ({ headers }: IncomingMessage) => expected === undefined || headers['proxy-authorization'] === expected
  const server = http.createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const url = URL.parse(request.url ?? '')
    const target = url === null ? undefined : routes[`${url.hostname}:${url.port || 80}`]
    if (!mayPass(request)) return void response.writeHead(407).end()
    if (url === null || target === undefined) return void response.writeHead(502).end()
    const { 'proxy-authorization': _own, ...headers } = request.headers
    const onward = http.request(`http://${target}${url.pathname}${url.search}`, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    asked.push(`CONNECT ${request.url}`)
    client.on('error', () => {})
    const target = routes[request.url ?? '']
    if (!mayPass(request)) return void client.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n')
    if (target === undefined) return void client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n')
    const onward = connect(Number(target.split(':')[1]), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.pipe(client).pipe(onward)
    })
    sockets.add(onward)
    onward.on('error', () => client.destroy())
    onward.on('close', () => client.destroy())
  })
  server.on('connection', (socket: Socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // Listening on TCP: the address is not a path.
  const { port } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
