import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { connectPortForward, type PortForwardTransport } from './client/mod.ts'
import { createStreaming } from './streaming.ts'
import { createTestTarget } from './test-target.ts'

async function listen(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 }
}

async function start(onConnection: (socket: Socket) => void = (socket) => socket.pipe(socket)) {
  const { server, port } = await listen(onConnection)
  const streaming = await createStreaming({}, createTestTarget())
  const connect = (transport: PortForwardTransport, ports: readonly number[] = [port], protocols?: readonly string[]) =>
    connectPortForward(streaming.portForwardUrl({ podId: 'p', ports }), {
      transport,
      ports,
      signal: AbortSignal.timeout(10_000),
      ...(protocols && { protocols }),
    })
  return {
    streaming,
    port,
    connect,
    async [Symbol.asyncDispose]() {
      await streaming.close()
      server.close()
    },
  }
}

async function closedPort(): Promise<number> {
  const { server, port } = await listen(() => undefined)
  server.close()
  await once(server, 'close')
  return port
}

async function hashOf(readable: Readable): Promise<string> {
  const hash = createHash('sha1')
  for await (const chunk of readable) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

for (const transport of ['spdy', 'tunnel'] as const) {
  test(`port-forward over ${transport} keeps half-closes`, async () => {
    await using rig = await start((socket) => {
      let bytes = 0
      socket.on('data', (chunk) => {
        bytes += chunk.length
      })
      socket.on('end', () => socket.end(`got ${bytes}`))
    })
    const session = await rig.connect(transport)
    const connection = session.open(rig.port)
    connection.writable.end('x'.repeat(100_000))
    assert.equal(await text(connection.readable), 'got 100000')
    await connection.done
    session.close()
  })

  test(`port-forward over ${transport} reports a refused connection on its own stream only`, async () => {
    await using rig = await start()
    const session = await rig.connect(transport)
    const kept = session.open(rig.port)
    kept.writable.write('before')
    assert.equal(String((await once(kept.readable, 'data'))[0]), 'before')
    const port = await closedPort()
    const refused = session.open(port)
    await assert.rejects(refused.done, new RegExp(`error forwarding port ${port} to pod p: .*ECONNREFUSED`))
    kept.writable.write('after')
    assert.equal(String((await once(kept.readable, 'data'))[0]), 'after')
    session.close()
  })

  test(`port-forward over ${transport} carries a thousand connections at once`, async () => {
    await using rig = await start()
    const session = await rig.connect(transport)
    const connections = Array.from({ length: 1_000 }, () => session.open(rig.port))
    const texts = connections.map(({ readable }) => text(readable))
    for (const [i, { writable }] of connections.entries()) writable.write(`hello ${i} `)
    for (const { writable } of connections) writable.end('bye')
    assert.deepEqual(
      await Promise.all(texts),
      connections.map((_, i) => `hello ${i} bye`),
    )
    await Promise.all(connections.map(({ done }) => done))
    session.close()
  })

  test(`port-forward over ${transport} carries bulk both ways beside a stalled connection`, async () => {
    await using rig = await start()
    const session = await rig.connect(transport)
    const stalled = session.open(rig.port)
    stalled.writable.on('error', () => undefined)
    let stuck = false
    while (!stuck) {
      stuck = !stalled.writable.write(Buffer.alloc(65536))
      if (stuck) stuck = await Promise.race([once(stalled.writable, 'drain').then(() => false), delay(200)])
    }
    const bulk = session.open(rig.port)
    const chunk = Buffer.alloc(65536, 'data')
    const sent = createHash('sha1')
    const received = hashOf(bulk.readable)
    for (let i = 0; i < 300; i++) {
      sent.update(chunk)
      if (!bulk.writable.write(chunk)) await once(bulk.writable, 'drain')
    }
    bulk.writable.end()
    assert.equal(await received, sent.digest('hex'))
    session.close()
  })
}

test('port-forward passes a broken connection on as a reset of its stream', async () => {
  await using rig = await start((socket) => {
    socket.once('data', () => socket.resetAndDestroy())
    socket.once('end', () => socket.end())
  })
  const session = await rig.connect('spdy')
  const connection = session.open(rig.port)
  connection.writable.write('x')
  await assert.rejects(text(connection.readable), /reset stream/)
  await connection.done
  const again = session.open(rig.port)
  again.writable.end()
  await again.done
  session.close()
})

for (const protocol of ['', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io']) {
  test(`port-forward over websocket ${protocol || '(no protocol named)'} gives each port two channels`, async () => {
    await using rig = await start((socket) => socket.once('data', (data) => socket.end(`echo ${String(data)}`)))
    const closed = await closedPort()
    const session = await rig.connect('websocket', [rig.port, closed], protocol === '' ? [] : [protocol])
    assert.equal(session.protocol, protocol)
    const refused = session.open(closed)
    const connection = session.open(rig.port)
    connection.writable.write('hello')
    assert.equal(await text(connection.readable), 'echo hello')
    await connection.done
    await assert.rejects(refused.done, /ECONNREFUSED/)
    assert.throws(() => session.open(rig.port), { code: 'failed_precondition' })
    assert.match(await session.closed, /peer closed/)
  })
}

function delay(ms: number): Promise<true> {
  return new Promise((done) => setTimeout(() => done(true), ms))
}
