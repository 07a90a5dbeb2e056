// Port-forward: into the pod's network, over every transport, with failures that stay their own.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { after, before, it } from 'node:test'
import { NamespaceMode } from '@coracle/cri-api'
import type { ForwardedConnection, PortForwardConnection, PortForwardTransport } from '@coracle/streaming/client'
import type { Program } from '@coracle/testkit/program'
import { failsWith } from '../cri/expect.ts'
import { criSuite, type PodUnderTest } from '../cri/suite.ts'
import { startEchoServer } from './echo-server.ts'
import { openForward, text } from './sessions.ts'

const all: readonly PortForwardTransport[] = ['spdy', 'tunnel', 'websocket']
const ECHO = 7000
const REFUSED = 7999

criSuite('port-forward', (cri) => {
  let pod: PodUnderTest
  let server: Program | undefined
  before(async () => {
    pod = await cri.pod()
    const container = await pod.run()
    server = await startEchoServer(container, ['127.0.0.1', ECHO, '::1', ECHO + 1])
  })
  after(() => server?.stop())

  /** Sends, ends its half, and reads the echo to its end. */
  async function echo(connection: ForwardedConnection, message: string | Buffer): Promise<string> {
    connection.writable.end(message)
    return await text(connection.readable)
  }

  /** `websocket` has one connection a port. */
  const halfCloses = (transport: PortForwardTransport) => transport !== 'websocket'

  for (const transport of all) {
    it(`carries bytes both ways, IPv4 and IPv6 (${transport})`, async () => {
      const session = await openForward(pod, [ECHO, ECHO + 1], transport)
      for (const port of [ECHO, ECHO + 1]) {
        const connection = session.open(port)
        if (halfCloses(transport)) assert.equal(await echo(connection, `to ${port}`), `to ${port}`)
        else {
          connection.writable.write('x')
          assert.equal(String((await connection.readable.iterator({ destroyOnReturn: false }).next()).value), 'x')
        }
      }
      session.close()
    })

    it(`a refused connection is told on its own error stream (${transport})`, async () => {
      const session = await openForward(pod, [REFUSED, ECHO], transport)
      const refused = session.open(REFUSED)
      refused.readable.resume()
      assert.match(await failsWith('unavailable', refused.done), /refused/)
      const working = session.open(ECHO)
      working.writable.write('still here')
      assert.equal(String((await working.readable.iterator({ destroyOnReturn: false }).next()).value), 'still here')
      session.close()
    })
  }

  it('keeps every byte of a large transfer, both ways at once', async () => {
    const session = await openForward(pod, [ECHO])
    const connection = session.open(ECHO)
    const message = randomBytes(16 << 20)
    const received = createHash('sha256')
    connection.writable.end(message)
    for await (const piece of connection.readable) received.update(piece as Buffer)
    await connection.done
    assert.equal(received.digest('hex'), createHash('sha256').update(message).digest('hex'))
    session.close()
  })

  it('a thousand connections in one session, fifty at a time', async () => {
    const session = await openForward(pod, [ECHO])
    let next = 0
    let wrong = 0
    const worker = async () => {
      while (next < 1000) {
        const message = `number ${next++}`
        if ((await echo(session.open(ECHO), message)) !== message) wrong++
      }
    }
    await Promise.all(Array.from({ length: 50 }, worker))
    assert.equal(wrong, 0)
    session.close()
  })

  it("reaches this machine's ports through a pod on the host's network", async () => {
    const server = createServer((socket) => socket.end('from the host'))
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    await using hostPod = await cri.pod({
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER } } },
    })
    const session = await openForward(hostPod, [port])
    assert.equal(await text(session.open(port).readable), 'from the host')
    session.close()
    server.close()
    const own = await openForward(pod, [port])
    const refused = own.open(port)
    refused.readable.resume()
    await failsWith('unavailable', refused.done)
    own.close()
  })

  it('a pod that stops ends its sessions; a stopped one is refused', async () => {
    const short = await cri.pod()
    const session: PortForwardConnection = await openForward(short, [ECHO])
    await short.stop()
    await failsWith(['failed_precondition', 'not_found'], cri.runtime.portForward({ podSandboxId: short.id, port: [ECHO] }))
    const late = session.open(ECHO)
    late.readable.resume()
    await assert.rejects(late.done)
    session.close()
    await short.remove()
  })
})
