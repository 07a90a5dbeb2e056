// Many sessions that come, stall, break off and finish at random: afterwards nothing of them is left.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { configureLog } from '@coracle/base/log'
import { type CommandConnection, connectExec, connectPortForward } from './client/mod.ts'
import { createStreaming, type Streaming } from './streaming.ts'
import { below, seededRandom } from './test-random.ts'
import { createTestTarget } from './test-target.ts'

const SESSIONS = 200
const AT_ONCE = 25
const transports = ['spdy', 'websocket'] as const

configureLog({ level: 'error' })
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms))

async function execSession(streaming: Streaming, random: () => number): Promise<void> {
  const programs = [['cat'], ['echo', 'x'], ['exit', '3'], ['fail'], ['count'], ['flood', '3000000'], ['sleep'], ['closeStdin']]
  const command = programs[below(random, programs.length)] as string[] // below the length
  const selection = { tty: false, stdin: random() < 0.7, stdout: true, stderr: random() < 0.5 }
  const transport = transports[below(random, 2)] as 'spdy' | 'websocket'
  const url = streaming.execUrl({ containerId: 'c', command, ...selection })
  const connection = await connectExec(url, { transport, selection, signal: AbortSignal.timeout(60_000) })
  connection.stdin?.write('x'.repeat(below(random, 300_000)))
  await act(connection, random)
  connection.close()
}

async function act(connection: CommandConnection, random: () => number): Promise<void> {
  // Some read, some let the output pile up; some wait for the end, some leave soon.
  if (random() < 0.7) connection.stdout?.resume()
  if (random() < 0.5) connection.stdin?.end()
  if (random() < 0.3) for (let i = 0; i < 50; i++) connection.resize({ columns: 1 + i, rows: 20 })
  const patience = pause(below(random, 60))
  await Promise.race([connection.ended.catch(() => undefined), patience])
}

async function forwardSession(streaming: Streaming, random: () => number, port: number): Promise<void> {
  const transport = random() < 0.5 ? 'spdy' : 'tunnel'
  const url = streaming.portForwardUrl({ podId: 'p', ports: [] })
  const session = await connectPortForward(url, { transport, signal: AbortSignal.timeout(60_000) })
  const connections = Array.from({ length: 1 + below(random, 10) }, () => session.open(random() < 0.9 ? port : 1))
  for (const { readable, writable } of connections) {
    readable.on('error', () => undefined)
    if (random() < 0.8) readable.resume()
    writable.write('y'.repeat(below(random, 200_000)))
    if (random() < 0.5) writable.end()
    if (random() < 0.2) writable.destroy()
    if (random() < 0.2) readable.destroy()
  }
  const all = Promise.allSettled(connections.map(({ done }) => done))
  await Promise.race([all, pause(below(random, 60))])
  session.close()
}

const handles = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name.startsWith('TCP'))

test(`${SESSIONS} sessions at random leave nothing behind`, async () => {
  const random = seededRandom(7)
  const echo = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  })
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const address = echo.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const streaming = await createStreaming({}, createTestTarget())
  let started = 0
  const worker = async () => {
    while (started++ < SESSIONS) await (random() < 0.7 ? execSession(streaming, random) : forwardSession(streaming, random, port))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const deadline = performance.now() + 20_000
  while (streaming.usage.sessions > 0 && performance.now() < deadline) await pause(20)
  assert.deepEqual(streaming.usage, { sessions: 0, tokens: 0 })
  await streaming.close()
  echo.close()
  await once(echo, 'close')
  while (handles().length > 0 && performance.now() < deadline) await pause(20)
  assert.deepEqual(handles(), [])
})
