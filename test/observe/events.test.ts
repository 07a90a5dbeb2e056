// Event streams on the wire: a reader that does not read is cut off, and everybody else hears everything in order.
import assert from 'node:assert/strict'
import { type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { afterEach, it } from 'node:test'
import { type ContainerEventResponse, ContainerEventType, NamespaceMode } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { parseExposition } from '@coracle/testkit/exposition'
import { freePort } from '@coracle/testkit/free-port'
import { criSuite } from '../cri/suite.ts'

const port = await freePort()
/** Each is told of with four events; more than a stream keeps for a reader, together with what its buffers hold. */
const podCount = 330
const inFlight = 8

/** A raw stream of events whose reader has not begun to read. */
function openStream(socket: string) {
  const settings = { initialWindowSize: 16 * 1024 }
  const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(socket), settings })
  session.on('error', () => {})
  const stream: ClientHttp2Stream = session.request({
    ':method': 'POST',
    ':path': '/runtime.v1.RuntimeService/GetContainerEvents',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  stream.pause()
  stream.on('error', () => {})
  // The empty message.
  stream.end(Buffer.alloc(5))
  const { promise: status, resolve } = Promise.withResolvers<string>()
  stream.on('trailers', (trailers) => resolve(String(trailers['grpc-status'])))
  stream.on('close', () => resolve('closed without a status'))
  return { status, read: () => void stream.resume(), [Symbol.dispose]: () => session.destroy() }
}

criSuite(
  'event streams under load',
  (cri) => {
    afterEach(() => cri.node.clear())
    const samples = async (name: string) => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      return parseExposition(text).get(name)?.samples ?? []
    }
    const metric = async (name: string) => (await samples(name))[0]?.value ?? 0

    it('a slow reader ends with RESOURCE_EXHAUSTED; others lose nothing', async () => {
      using slow = openStream(cri.node.world.socket)
      const leave = new AbortController()
      const seen: ContainerEventResponse[] = []
      const listening = (async () => {
        for await (const event of cri.runtime.getContainerEvents({}, { signal: leave.signal })) seen.push(event)
      })().catch(() => undefined)
      await eventually('both listen', async () => (await metric('coracle_event_subscribers')) === 2)
      const ids = new Set<string>()
      const inHostNetwork = {
        securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER } },
      }
      const lane = async () => {
        for (let i = 0; i < podCount / inFlight; i++) {
          const pod = await cri.pod({ linux: inHostNetwork })
          ids.add(pod.id)
          await pod.stop()
          await pod.remove()
        }
      }
      await Promise.all(Array.from({ length: inFlight }, lane))
      await eventually('all events came', () => seen.length >= ids.size * 4, { timeoutMs: 60_000 })
      assert.equal(seen.length, ids.size * 4)
      for (const id of ids) {
        assert.deepEqual(
          seen.filter(({ containerId }) => containerId === id).map(({ containerEventType }) => containerEventType),
          [
            ContainerEventType.CONTAINER_CREATED_EVENT,
            ContainerEventType.CONTAINER_STARTED_EVENT,
            ContainerEventType.CONTAINER_STOPPED_EVENT,
            ContainerEventType.CONTAINER_DELETED_EVENT,
          ],
        )
      }
      for (const [i, { createdAt }] of seen.entries()) assert.ok(i === 0 || createdAt > (seen[i - 1]?.createdAt ?? 0n))
      assert.equal(await metric('coracle_event_subscribers_cut_off_total'), 1)
      slow.read()
      assert.equal(await slow.status, '8', 'RESOURCE_EXHAUSTED')
      leave.abort()
      await listening
      await eventually('nobody listens', async () => (await metric('coracle_event_subscribers')) === 0)
      const ends = (await samples('coracle_calls_total')).filter(({ labels }) => labels['rpc'] === 'GetContainerEvents')
      assert.deepEqual(ends.map(({ labels }) => labels['code']).toSorted(), ['CANCELLED', 'RESOURCE_EXHAUSTED'])
    })
  },
  { config: `[metrics]\nport = ${port}\n` },
)
