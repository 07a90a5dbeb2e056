// The limits of hazards 1.6 and 3.8: what a hostile or stalled peer can cost.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import { acceptSpdyCommand } from './remote-command-spdy.ts'
import { acceptWebSocketCommand, webSocketCommandProtocols } from './remote-command-websocket.ts'
import { headerDictionary, headerDictionaryId } from './spdy/dictionary.ts'
import * as frames from './spdy/frames.ts'
import { HeaderDeflater, HeaderInflater } from './spdy/header-block.ts'
import { TestWire } from './test-wire.ts'
import { WebSocketParser } from './websocket/parser.ts'

const selection = { tty: false, stdin: true, stdout: true, stderr: false }
const options = { selection, protocol: 'v4.channel.k8s.io', creationTimeoutMs: 10_000 }

async function spdyCommand() {
  const wire = new TestWire()
  const accepted = acceptSpdyCommand(wire, options)
  const deflater = new HeaderDeflater()
  for (const [i, streamtype] of ['error', 'stdin', 'stdout'].entries()) {
    wire.receive(Buffer.concat(frames.synStream(1 + 2 * i, deflater.deflate(new Map([['streamtype', streamtype]])), false)))
  }
  const client = await accepted
  wire.written.length = 0
  return { wire, client, deflater }
}

const bytesOf = (parts: readonly Buffer[]): number => parts.reduce((sum, { length }) => sum + length, 0)

function zlibBlock(content: Buffer): Buffer {
  const header = Buffer.from([0x78, 0xbb, 0, 0, 0, 0])
  header.writeUInt32BE(headerDictionaryId, 2)
  return Buffer.concat([header, deflateRawSync(content, { dictionary: headerDictionary, finishFlush: 2 })])
}

function headerBlock(count: number, pairs: number): Buffer {
  const words: Buffer[] = []
  const number = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    words.push(bytes)
  }
  number(count)
  for (let i = 0; i < pairs; i++) {
    for (const text of [`name${i}`, 'v']) {
      number(text.length)
      words.push(Buffer.from(text))
    }
  }
  return Buffer.concat(words)
}

const crafted: Record<string, Buffer> = {
  'settings that claim more entries than they have': Buffer.from('8003000400000004ffffffff', 'hex'),
  'a control frame of 16 MiB': Buffer.from('8003000100ffffff', 'hex'),
  'another version': Buffer.from('800200060000000400000001', 'hex'),
  'data of stream 0': Buffer.from('0000000000000000', 'hex'),
  'a header bomb': Buffer.concat(frames.synStream(7, zlibBlock(Buffer.alloc(100_000_000)), false)),
  'a thousand headers': Buffer.concat(frames.synStream(7, zlibBlock(headerBlock(1000, 1000)), false)),
  'a header count without headers': Buffer.concat(frames.synStream(7, zlibBlock(headerBlock(0xffffffff, 0)), false)),
  'a header block that is no zlib': Buffer.concat(frames.synStream(7, Buffer.alloc(100, 0xaa), false)),
  'a window over 2^31': Buffer.concat([frames.windowUpdate(0, 0x7fffffff), frames.windowUpdate(0, 0x7fffffff)]),
}

for (const [name, bytes] of Object.entries(crafted)) {
  test(`a spdy session is closed by ${name}`, async () => {
    const wire = new TestWire()
    const accepted = acceptSpdyCommand(wire, options)
    wire.receive(bytes)
    await assert.rejects(accepted, { code: 'canceled' })
    assert.ok(wire.ended)
    assert.deepEqual(wire.written.at(-1), frames.goAway(0, frames.goAwayStatus.protocolError))
  })
}

test('header blocks inflate across frames, whatever compressed them', () => {
  const inflater = new HeaderInflater()
  const first = headerBlock(3, 3)
  const header = zlibBlock(first)
  assert.equal(inflater.inflate(header).size, 3)
  // The second block refers back into the first one.
  const second = deflateRawSync(first, { dictionary: Buffer.concat([headerDictionary, first]), finishFlush: 2 })
  assert.ok(second.length < 20)
  assert.deepEqual([...inflater.inflate(second).keys()], ['name0', 'name1', 'name2'])
})

test('spdy streams over the limit are refused', async () => {
  const { wire, deflater } = await spdyCommand()
  for (let i = 0; i < 6; i++) {
    wire.receive(Buffer.concat(frames.synStream(7 + 2 * i, deflater.deflate(new Map([['streamtype', `more${i}`]])), false)))
  }
  assert.deepEqual(wire.written.at(-1), frames.rstStream(17, frames.rstStatus.refusedStream))
})

for (const pieceBytes of [1, 100, 16_384]) {
  test(`unread input in pieces of ${pieceBytes} bytes stops the reading of the connection`, async () => {
    const { wire, client } = await spdyCommand()
    const frame = Buffer.concat([frames.dataHeader(3, pieceBytes, false), Buffer.alloc(pieceBytes)])
    let sent = 0
    while (!wire.paused) {
      wire.receive(Buffer.from(frame))
      sent += pieceBytes
      assert.ok(sent < 1_300_000, 'still reading')
    }
    let read = 0
    client.streams.stdin?.on('data', (data: Buffer) => {
      read += data.length
    })
    while (read < sent) await new Promise(setImmediate)
    assert.ok(!wire.paused)
    wire.close('test')
  })
}

test('a peer that reads no replies is not read either', async () => {
  const { wire } = await spdyCommand()
  wire.receive(frames.ping(1))
  assert.deepEqual(wire.written, [frames.ping(1)])
  wire.backlogBytes = 3_000_000
  wire.receive(frames.ping(3))
  assert.ok(wire.paused)
  wire.backlogBytes = 0
  wire.drain()
  assert.ok(!wire.paused)
  wire.close('test')
})

test('output waits while the connection has enough to swallow', async () => {
  const { wire, client } = await spdyCommand()
  wire.backlogBytes = 300_000
  const stdout = client.streams.stdout
  assert.ok(stdout)
  let accepted = 0
  while (stdout.write(Buffer.alloc(16_384))) accepted += 16_384
  assert.ok(accepted <= 65_536)
  assert.equal(bytesOf(wire.written), 0)
  const drained = once(stdout, 'drain')
  wire.backlogBytes = 0
  wire.drain()
  await drained
  assert.ok(bytesOf(wire.written) >= 65_536)
  wire.close('test')
})

test('a peer that keeps windows gets no more than they allow, per stream and in all', async () => {
  const { wire, client } = await spdyCommand()
  const { stdout } = client.streams
  wire.receive(frames.settings(100_000))
  stdout?.write(Buffer.alloc(300_000))
  const payload = () => bytesOf(wire.written.filter(({ length }) => length > 16))
  assert.equal(payload(), 65_536)
  wire.receive(frames.windowUpdate(0, 1_000_000))
  assert.equal(payload(), 100_000)
  wire.receive(frames.windowUpdate(5, 50_000))
  assert.equal(payload(), 150_000)
  wire.receive(frames.settings(200_000))
  assert.equal(payload(), 250_000)
  wire.receive(frames.windowUpdate(5, 1_000_000))
  assert.equal(payload(), 300_000)
  wire.close('test')
})

test('what was consumed is credited by window updates', async () => {
  const { wire, client } = await spdyCommand()
  client.streams.stdin?.resume()
  await new Promise(setImmediate)
  for (let i = 0; i < 128; i++) {
    wire.receive(Buffer.concat([frames.dataHeader(3, 16_384, false), Buffer.alloc(16_384)]))
    await new Promise(setImmediate)
  }
  const updates = wire.written.filter((frame) => frame.readUInt16BE(2) === frames.frameType.windowUpdate)
  const credited = (id: number) =>
    updates.filter((frame) => frame.readUInt32BE(8) === id).reduce((sum, frame) => sum + frame.readUInt32BE(12), 0)
  assert.equal(credited(0), 2_097_152)
  assert.equal(credited(3), 2_097_152)
  wire.close('test')
})

test('a reset of stdout lets the command go on into nothing', async () => {
  const { wire, client } = await spdyCommand()
  const { stdout } = client.streams
  assert.ok(stdout)
  wire.receive(frames.rstStream(5, frames.rstStatus.cancel))
  for (let i = 0; i < 100; i++) if (!stdout.write(Buffer.alloc(65_536))) await once(stdout, 'drain')
  await client.end({ kind: 'exited', exitCode: 0 })
  assert.match(Buffer.concat(wire.written).toString('latin1'), /"status":"Success"/)
  wire.close('test')
})

const badWebSocket: Record<string, Buffer> = {
  'an unmasked frame': Buffer.from([0x82, 1, 0]),
  'reserved bits': Buffer.from([0xc2, 0x80, 0, 0, 0, 0]),
  'an unknown opcode': Buffer.from([0x83, 0x80, 0, 0, 0, 0]),
  'a long control frame': Buffer.from([0x89, 0xfe, 0, 200, 0, 0, 0, 0]),
  'a fragmented control frame': Buffer.from([0x09, 0x80, 0, 0, 0, 0]),
  'a continuation of nothing': Buffer.from([0x80, 0x80, 0, 0, 0, 0]),
  'a frame of 2^63 bytes': Buffer.from('82ff800000000000000000000000', 'hex'),
  'a million fragments': Buffer.concat([
    Buffer.from([0x02, 0x81, 0, 0, 0, 0, 0]),
    ...Array.from({ length: 10_000 }, () => Buffer.from([0x00, 0x81, 0, 0, 0, 0, 1])),
  ]),
}

for (const [name, bytes] of Object.entries(badWebSocket)) {
  test(`a websocket session is closed by ${name}`, () => {
    const wire = new TestWire()
    const { gone } = acceptWebSocketCommand(wire, selection, webSocketCommandProtocols['v5.channel.k8s.io']!)
    wire.receive(Buffer.from(bytes))
    assert.ok(gone.aborted)
    assert.ok(wire.ended)
  })
}

test('a base64 message over 1 MiB closes the session', () => {
  const wire = new TestWire()
  const { gone } = acceptWebSocketCommand(wire, selection, webSocketCommandProtocols['base64.channel.k8s.io']!)
  wire.receive(Buffer.from('81ff00000000100000000000000030', 'hex'))
  for (let i = 0; i < 20 && !gone.aborted; i++) wire.receive(Buffer.alloc(65_536, 'A'))
  assert.ok(gone.aborted)
})

test('unread websocket input stops the reading of the connection', () => {
  const wire = new TestWire()
  acceptWebSocketCommand(wire, selection, webSocketCommandProtocols['v4.channel.k8s.io']!)
  let sent = 0
  while (!wire.paused) {
    wire.receive(Buffer.concat([Buffer.from([0x82, 0xfe, 0x40, 0x00, 0, 0, 0, 0]), Buffer.alloc(16_384)]))
    sent += 16_384
    assert.ok(sent < 1_300_000, 'still reading')
  }
  wire.close('test')
})

test('masks are undone at every alignment and cut', () => {
  const payload = Buffer.from(Array.from({ length: 300 }, (_, i) => i & 0xff))
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78])
  const masked = payload.map((byte, i) => byte ^ (mask[i & 3] as number)) // i & 3 < 4
  const frame = Buffer.concat([Buffer.from([0x82, 0xfe, 1, 44]), mask, masked])
  for (let cut = 1; cut < 40; cut++) {
    for (let shift = 0; shift < 4; shift++) {
      const received: Buffer[] = []
      const parser = new WebSocketParser('client', {
        data: (piece) => void received.push(Buffer.from(piece)),
        control: () => assert.fail('no control frame was sent'),
      })
      for (let at = 0; at < frame.length; at += cut) {
        const room = Buffer.alloc(cut + shift)
        const size = frame.copy(room, shift, at, at + cut)
        parser.push(room.subarray(shift, shift + size))
      }
      assert.deepEqual(Buffer.concat(received), payload, `cut ${cut}, shift ${shift}`)
    }
  }
})
