// Random and mutated bytes into both protocols: no crash, no hang, nothing gathered without bound, everything let go at the end.
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { CodedError } from '@coracle/base/errors'
import { configureLog } from '@coracle/base/log'
import { servePortForwardSpdy } from './port-forward-spdy.ts'
import { acceptSpdyCommand } from './remote-command-spdy.ts'
import { acceptWebSocketCommand, webSocketCommandProtocols } from './remote-command-websocket.ts'
import * as frames from './spdy/frames.ts'
import { HeaderDeflater } from './spdy/header-block.ts'
import { below, mutate, randomBytesOf, seededRandom } from './test-random.ts'
import { TestWire } from './test-wire.ts'
import { applyMask } from './websocket/parser.ts'

const SEED = 20_261_120
const ROUNDS = 2_500
const MAX_ROUND_MS = 2_000
const selection = { tty: false, stdin: true, stdout: true, stderr: true }

/** Failures other than violations of the protocol are logged as errors. */
const failures: string[] = []
beforeEach(() => {
  failures.length = 0
  configureLog({ level: 'error', write: (line) => failures.push(line) })
})

function spdyCapture(): Buffer {
  const deflater = new HeaderDeflater()
  const syn = (id: number, headers: Record<string, string>) =>
    frames.synStream(id, deflater.deflate(new Map(Object.entries(headers))), false)
  return Buffer.concat([
    frames.settings(100_000),
    frames.windowUpdate(0, 1_000_000),
    ...['error', 'stdin', 'stdout', 'stderr', 'resize'].flatMap((streamtype, i) => syn(1 + 2 * i, { streamtype })),
    frames.dataHeader(3, 5, false),
    Buffer.from('hello'),
    frames.ping(1),
    frames.dataHeader(9, 24, false),
    Buffer.from('{"Width":80,"Height":24}'),
    ...syn(11, { streamtype: 'error', port: '80', requestid: '1' }),
    ...syn(13, { streamtype: 'data', port: '80', requestid: '1' }),
    frames.windowUpdate(3, 1000),
    frames.dataHeader(3, 0, true),
    frames.rstStream(5, 5),
    frames.goAway(0, 0),
  ])
}

function webSocketFrame(kind: number, payload: Buffer): Buffer {
  const header = Buffer.from([0x80 | kind, 0x80 | payload.length, 1, 2, 3, 4])
  const masked = Buffer.from(payload)
  applyMask(masked, header.subarray(2), 0)
  return Buffer.concat([header, masked])
}

const webSocketCapture = (): Buffer =>
  Buffer.concat([
    webSocketFrame(2, Buffer.from('\x00hello')),
    webSocketFrame(1, Buffer.from('0aGVsbG8=')),
    webSocketFrame(9, Buffer.from('ping')),
    webSocketFrame(2, Buffer.from('\x04{"Width":80,"Height":24}')),
    webSocketFrame(2, Buffer.from([255, 0])),
    webSocketFrame(8, Buffer.from([3, 232])),
  ])

type Serve = (wire: TestWire, random: () => number) => void

const served: Record<string, { capture: Buffer; serve: Serve }> = {
  'spdy exec': {
    capture: spdyCapture(),
    serve(wire) {
      acceptSpdyCommand(wire, { selection, protocol: 'v4.channel.k8s.io', creationTimeoutMs: 1_000_000 }).then(
        ({ streams }) => void streams.stdin?.resume(),
        () => undefined,
      )
    },
  },
  'spdy port-forward': {
    capture: spdyCapture(),
    serve(wire) {
      const request = { podId: 'p', ports: [] }
      const dial = () => Promise.reject(new CodedError('unavailable', 'refused'))
      void servePortForwardSpdy(wire, { request, creationTimeoutMs: 1_000_000 }, { dial })
    },
  },
  'websocket exec': {
    capture: webSocketCapture(),
    serve(wire, random) {
      const protocols = Object.values(webSocketCommandProtocols)
      const protocol = protocols[below(random, protocols.length)]
      assert.ok(protocol)
      acceptWebSocketCommand(wire, selection, protocol).streams.stdin?.resume()
    },
  },
}

for (const [name, { capture, serve }] of Object.entries(served)) {
  test(`${name} survives random and mutated bytes`, async () => {
    const random = seededRandom(SEED)
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = round % 5 === 0 ? randomBytesOf(random, below(random, 2_000)) : mutate(random, capture)
      const wire = new TestWire()
      const startedAt = performance.now()
      serve(wire, random)
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + below(random, random() < 0.5 ? 5 : 500)
        wire.receive(Buffer.from(bytes.subarray(at, at + size)))
        at += size
      }
      if (round % 50 === 0) await new Promise(setImmediate)
      wire.close('test')
      assert.ok(performance.now() - startedAt < MAX_ROUND_MS, `round ${round}`)
      assert.ok(wire.written.reduce((sum, part) => sum + part.length, 0) < 10 * bytes.length + 2_000, `round ${round}`)
    }
    await new Promise(setImmediate)
    assert.deepEqual(failures, [])
  })
}
