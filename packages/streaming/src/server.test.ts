import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { connectExec } from './client/mod.ts'
import { createStreaming, type StreamingOptions } from './streaming.ts'
import type { StreamExecRequest } from './target.ts'
import { createTestTarget } from './test-target.ts'
import { FailureLimit, MAX_TOKENS, Tokens } from './tokens.ts'

const selection = { tty: false, stdin: false, stdout: true, stderr: false }
const exec = (command: string[]): StreamExecRequest => ({ containerId: 'c', command, ...selection })
const signal = () => AbortSignal.timeout(10_000)
const start = (options: StreamingOptions = {}) => createStreaming(options, createTestTarget())

/** What the server sends back until it closes the connection, or until `enough`. */
async function raw(port: number, request: string, enough: RegExp = /$^/): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  let answer = ''
  socket.on('data', (data) => {
    answer += data.toString('latin1')
    if (enough.test(answer)) socket.destroy()
  })
  socket.write(request)
  await once(socket, 'close')
  return answer
}

const spdyUpgrade = 'Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n'
const head = (method: string, path: string, headers = spdyUpgrade) => `${method} ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`

test('the server answers every wrong request with an error and never with a redirect', async () => {
  await using streaming = await start()
  const { port } = streaming.address
  const path = () => new URL(streaming.execUrl(exec(['echo']))).pathname
  const cases: [string, string, number][] = [
    ['unknown path', head('GET', '/'), 404],
    ['unknown kind', head('POST', '/execs/abc'), 404],
    ['path that needs cleaning', head('POST', `/./${path()}`), 404],
    ['unknown token', head('POST', '/exec/abc'), 404],
    ['wrong kind', head('POST', path().replace('exec', 'attach')), 404],
    ['wrong method', head('PUT', path()), 405],
    ['origin', head('POST', path(), `Origin: http://localhost\r\n${spdyUpgrade}`), 403],
    ['no upgrade', head('POST', path(), 'Content-Length: 0\r\n'), 400],
    ['other upgrade', head('GET', path(), 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), 400],
    ['no common protocol', head('POST', path(), spdyUpgrade.replace('v4', 'v9')), 403],
    ['websocket by POST', head('POST', path(), 'Connection: Upgrade\r\nUpgrade: websocket\r\n'), 405],
    ['websocket without version', head('GET', path(), 'Connection: Upgrade\r\nUpgrade: websocket\r\n'), 426],
    [
      'websocket without key',
      head('GET', path(), 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'),
      400,
    ],
    ['no http', 'hello\r\n\r\n', 400],
  ]
  for (const [name, request, status] of cases) {
    const answer = await raw(port, request)
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), name)
    assert.doesNotMatch(answer, /^location:/im, name)
  }
})

test('a token works once, for its kind and method, and by GET as by POST', async () => {
  await using streaming = await start()
  const { pathname, port } = new URL(streaming.execUrl(exec(['echo'])))
  assert.match(pathname, /^\/exec\/[A-Za-z0-9_-]{32}$/)
  assert.match(await raw(Number(port), head('POST', pathname.replace('exec', 'portforward'))), / 404 /)
  assert.match(await raw(Number(port), head('GET', pathname), /\r\n\r\n/), / 101 /)
  assert.match(await raw(Number(port), head('GET', pathname)), / 404 /)
})

test('tokens expire by the monotonic clock and are limited in number', () => {
  let now = 0
  const tokens = new Tokens(60_000, () => now)
  const request = { kind: 'exec', request: exec(['x']) } as const
  const early = tokens.issue(request)
  for (let i = 1; i < MAX_TOKENS; i++) tokens.issue(request)
  assert.throws(() => tokens.issue(request), { code: 'resource_exhausted' })
  now = 59_999
  assert.equal(tokens.take('exec', early)?.prepared, request)
  tokens.issue(request)
  now = 60_000
  assert.equal(tokens.outstanding, 1)
  now = 120_000
  assert.equal(tokens.outstanding, 0)
})

test('execUrl refuses what cannot be served', async () => {
  await using streaming = await start()
  const bad = { code: 'invalid_argument' }
  assert.throws(() => streaming.execUrl({ ...exec(['x']), tty: true, stderr: true }), bad)
  assert.throws(() => streaming.execUrl({ ...exec(['x']), stdout: false }), bad)
  assert.throws(() => streaming.execUrl(exec([])), bad)
  assert.throws(() => streaming.portForwardUrl({ podId: 'p', ports: [0] }), bad)
})

test('failed look-ups over a hundred a second are cut off, good tokens still work', async () => {
  let now = 0
  const limit = new FailureLimit(100, () => now)
  for (let i = 0; i < 100; i++) assert.ok(limit.allow())
  assert.ok(!limit.allow())
  now = 1000
  assert.ok(limit.allow())

  await using streaming = await start()
  const { port } = streaming.address
  const startedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 150 }, () => raw(port, head('POST', '/exec/guess'))))
  const refused = answers.filter((answer) => / 404 /.test(answer)).length
  // On a busy machine the burst may reach into a second second.
  const atMost = performance.now() - startedAt < 900 ? 149 : 150
  assert.ok(refused >= 100 && refused <= atMost, `${refused} of 150 answered`)
  const connection = await connectExec(streaming.execUrl(exec(['exit', '3'])), { transport: 'spdy', selection, signal: signal() })
  assert.deepEqual(await connection.ended, { exitCode: 3 })
})

test('a client that opens no streams is sent away after the creation timeout', async () => {
  await using streaming = await start({ creationTimeoutMs: 50 })
  const { pathname, port } = new URL(streaming.execUrl(exec(['echo'])))
  const answer = await raw(Number(port), head('POST', pathname))
  assert.match(answer, / 101 /)
  while (streaming.usage.sessions > 0) await new Promise((done) => setTimeout(done, 5))
})

test('a session without traffic ends after the idle timeout', async () => {
  await using streaming = await start({ idleTimeoutMs: 100 })
  const url = streaming.execUrl(exec(['sleep']))
  const connection = await connectExec(url, { transport: 'websocket', selection, signal: signal() })
  await assert.rejects(connection.ended, { code: 'canceled' })
})

test('close() ends sessions and aborts their commands', async () => {
  const target = createTestTarget()
  const streaming = await createStreaming({}, target)
  const url = streaming.execUrl(exec(['sleep']))
  const connection = await connectExec(url, { transport: 'spdy', selection, signal: signal() })
  await streaming.close()
  await assert.rejects(connection.ended, { code: 'canceled' })
  assert.deepEqual(target.events.aborted, ['sleep'])
  assert.equal(streaming.usage.sessions, 0)
})

test('the server refuses to listen beyond loopback without tls', async () => {
  await assert.rejects(start({ address: '0.0.0.0' }), { code: 'invalid_argument' })
})
