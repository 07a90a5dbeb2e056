// Our half of HTTP/2 against Node's own.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Http2Connection } from './connection.ts'
import { type Frame, FrameReader } from './frames.ts'
import { HeaderDecoder } from './hpack.ts'
import { decodeHuffman } from './huffman.ts'
import { SendWindows } from './send-windows.ts'

const base = mkdtempSync(join(tmpdir(), 'http2-'))
after(() => rmSync(base, { recursive: true }))

type Answer = (stream: http2.ServerHttp2Stream, body: Buffer) => void

async function serve(answer: Answer, options: http2.ServerOptions = {}) {
  const socketPath = join(mkdtempSync(join(base, 'x')), 's')
  const server = http2.createServer(options)
  const sessions: http2.ServerHttp2Session[] = []
  server.on('session', (session) => sessions.push(session))
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    const chunks: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => answer(stream, Buffer.concat(chunks)))
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  const connection = new Http2Connection(socketPath)
  return {
    connection,
    sessions,
    async [Symbol.asyncDispose]() {
      await connection.close()
      for (const session of sessions) session.destroy()
      server.close()
    },
  }
}

const headers: [string, string][] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/x'],
  [':authority', 'l'],
]

async function exchange(connection: Http2Connection, body: Uint8Array) {
  const stream = connection.request(headers, body)
  const seen: ReadonlyMap<string, string>[] = []
  stream.onHeaders = (block) => seen.push(block)
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return { body: Buffer.concat(chunks), headers: seen[0], trailers: seen[1] }
}

test('every visible character survives the Huffman code, in repeated and large headers', async () => {
  const text = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i))
    .join('')
    .trim()
  await using server = await serve((stream) => {
    stream.respond({ ':status': 200, 'x-text': text, 'x-long': 'ab%20'.repeat(8000) }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': text }))
    stream.end('body')
  })
  for (let i = 0; i < 5; i++) {
    const reply = await exchange(server.connection, Buffer.from('q'))
    assert.equal(reply.headers?.get(':status'), '200')
    assert.equal(reply.headers?.get('x-text'), text)
    assert.equal(reply.headers?.get('x-long')?.length, 40_000)
    assert.equal(reply.trailers?.get('x-end'), text)
    assert.equal(String(reply.body), 'body')
  }
})

test("the RFC's own examples decode, with the dynamic table shrinking as told (RFC 7541 C.6)", () => {
  const decoder = new HeaderDecoder()
  const blocks = [
    '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
    '4883640effc1c0bf',
  ]
  const [first, second] = blocks.map((hex) => decoder.decode(Buffer.from(hex, 'hex')))
  assert.deepEqual(
    [...(first ?? [])],
    [
      [':status', '302'],
      ['cache-control', 'private'],
      ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
      ['location', 'https://www.example.com'],
    ],
  )
  assert.equal(second?.get(':status'), '307')
  assert.equal(second?.get('location'), 'https://www.example.com')
})

test('broken header blocks are refused', () => {
  for (const hex of ['80', 'ff', 'ffffffffffffff', '00', '0003', 'fe', '008561']) {
    assert.throws(() => new HeaderDecoder().decode(Buffer.from(hex, 'hex')), { code: 'unavailable' }, hex)
  }
  for (const hex of ['ffffffff', '00', 'fe'])
    assert.throws(() => decodeHuffman(Buffer.from(hex, 'hex')), { code: 'unavailable' }, hex)
})

test('large bodies both ways, through small windows', async () => {
  await using server = await serve(
    (stream, body) => {
      stream.respond({ ':status': 200 })
      stream.end(body)
    },
    { settings: { initialWindowSize: 20_000, maxFrameSize: 16_384 } },
  )
  const body = Buffer.alloc(20 << 20, 'x')
  assert.ok((await exchange(server.connection, body)).body.equals(body))
})

test('many calls at once on one connection', async () => {
  await using server = await serve((stream, body) => {
    stream.respond({ ':status': 200 })
    setTimeout(() => stream.end(body), Math.random() * 20)
  })
  const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => exchange(server.connection, Buffer.from(`call ${i}`))))
  assert.deepEqual(
    replies.map(({ body }) => String(body)),
    Array.from({ length: 200 }, (_, i) => `call ${i}`),
  )
  assert.equal(server.sessions.length, 1)
})

test('a server that goes away gracefully answers what it began, and gets nothing new', async () => {
  await using server = await serve((stream, body) => {
    stream.session?.close()
    setTimeout(() => {
      stream.respond({ ':status': 200 })
      stream.end(body)
    }, 50)
  })
  assert.equal(String((await exchange(server.connection, Buffer.from('last'))).body), 'last')
  assert.equal(server.connection.usable, false)
})

test('pings are answered', async () => {
  await using server = await serve((stream, body) => {
    stream.session?.ping((err) => {
      stream.respond({ ':status': err ? 500 : 200 })
      stream.end(body)
    })
  })
  assert.equal((await exchange(server.connection, Buffer.from('x'))).headers?.get(':status'), '200')
})

test('an endless answer nobody reads stops at the window', async () => {
  let written = 0
  await using server = await serve((stream) => {
    stream.respond({ ':status': 200 })
    const more = () => {
      while (written < 64 << 20 && stream.write(Buffer.alloc(1 << 20))) written += 1 << 20
      if (written < 64 << 20) stream.once('drain', more)
    }
    more()
  })
  server.connection.request(headers, Buffer.from('x'))
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.ok(written <= 16 << 20, `${written} bytes`)
})

test('send windows hold back what is too much', () => {
  const frames: Frame[] = []
  const reader = new FrameReader(1 << 20)
  const windows = new SendWindows((bytes) => frames.push(...reader.push(Buffer.from(bytes))))
  const sent = () => frames.reduce((sum, { payload }) => sum + payload.length, 0)
  windows.setInitialWindow(10)
  windows.send(1, Buffer.alloc(25))
  assert.equal(sent(), 10)
  windows.setInitialWindow(5)
  windows.grant(1, 4)
  assert.equal(sent(), 10)
  windows.grant(1, 11)
  assert.equal(sent(), 20)
  assert.equal(windows.isDone(1), false)
  windows.grant(1, 100)
  assert.equal(sent(), 25)
  assert.equal(frames.at(-1)?.flags, 1)
  windows.send(3, Buffer.alloc(0))
  assert.deepEqual([frames.at(-1)?.streamId, frames.at(-1)?.flags], [3, 1])
})

test('something that is no HTTP/2 is refused', () => {
  assert.throws(() => [...new FrameReader(1 << 18).push(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))], { code: 'unavailable' })
})
