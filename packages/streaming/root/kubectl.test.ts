// The real client: kubectl through a stand-in for the API server, by WebSocket (its default) and by SPDY.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { createStreaming } from '../src/mod.ts'
import { createTestTarget } from '../src/test-target.ts'
import { startApiServer } from './api-server.ts'

const missing = spawnSync('kubectl', ['version', '--client']).error !== undefined
// In the rings, which set everything up, its absence is a failure.
const skip = missing && process.env['TEST_ROOT'] === undefined ? 'kubectl is not installed' : false
const WAIT_MS = 20_000

async function start(websocket: boolean) {
  const home = makeOwnDirectory('coracle-kubectl-')
  const target = createTestTarget()
  const streaming = await createStreaming({}, target)
  const api = await startApiServer(streaming)
  const children: ChildProcess[] = []
  const kubectl = (...words: string[]) => {
    const child = spawn('kubectl', [`--server=${api.url}`, ...words], {
      env: {
        PATH: process.env['PATH'],
        HOME: home,
        KUBECTL_REMOTE_COMMAND_WEBSOCKETS: String(websocket),
        KUBECTL_PORT_FORWARD_WEBSOCKETS: String(websocket),
      },
      timeout: WAIT_MS,
    })
    children.push(child)
    return child
  }
  return {
    kubectl,
    streaming,
    target,
    async [Symbol.asyncDispose]() {
      for (const child of children) if (child.exitCode === null && child.kill()) await once(child, 'exit')
      await streaming.close()
      await api[Symbol.asyncDispose]()
      rmSync(home, { recursive: true })
    },
  }
}

for (const websocket of [true, false]) {
  const how = websocket ? 'websocket' : 'spdy'

  test(`kubectl exec over ${how}: output, exit code, failure`, { skip }, async () => {
    await using rig = await start(websocket)
    const echo = rig.kubectl('exec', 'p', '--', 'echo', 'hello')
    assert.deepEqual(await Promise.all([text(echo.stdout), text(echo.stderr), once(echo, 'exit')]), [
      'hello\n',
      'to stderr\n',
      [0, null],
    ])
    const flood = rig.kubectl('exec', 'p', '--', 'flood', '50000000')
    const [output, [exitCode]] = await Promise.all([buffer(flood.stdout), once(flood, 'exit')])
    assert.deepEqual([output.length, exitCode], [50_000_000, 7])
    const fail = rig.kubectl('exec', 'p', '--', 'fail')
    assert.match(await text(fail.stderr), /no such program/)
  })

  test(`kubectl exec -i and attach -i over ${how}: input to its end`, { skip }, async () => {
    await using rig = await start(websocket)
    const sent = Buffer.alloc(20_000_000, 'some input ')
    for (const words of [
      ['exec', '-i', 'p', '--', 'cat'],
      ['attach', '-i', 'p'],
    ]) {
      const cat = rig.kubectl(...words)
      cat.stdin.end(sent)
      const hash = createHash('sha1')
        .update(await buffer(cat.stdout))
        .digest('hex')
      assert.equal(hash, createHash('sha1').update(sent).digest('hex'), words.join(' '))
    }
  })

  test(`kubectl exec over ${how}: the command is aborted when kubectl is killed`, { skip }, async () => {
    await using rig = await start(websocket)
    const sleep = rig.kubectl('exec', 'p', '--', 'sleep')
    while (rig.streaming.usage.sessions === 0) await new Promise((done) => setTimeout(done, 10))
    await new Promise((done) => setTimeout(done, 200))
    sleep.kill('SIGKILL')
    while (rig.target.events.aborted.length === 0) await new Promise((done) => setTimeout(done, 10))
    while (rig.streaming.usage.sessions > 0) await new Promise((done) => setTimeout(done, 10))
  })

  test(`kubectl port-forward over ${how}: a hundred connections`, { skip }, async () => {
    await using rig = await start(websocket)
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket))
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    const address = echo.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const forward = rig.kubectl('port-forward', 'p', `:${port}`)
    const [line] = await once(forward.stdout, 'data')
    const local = Number(/127\.0\.0\.1:(\d+)/.exec(String(line))?.[1])
    forward.stdout.resume()
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const socket = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true })
        socket.end(`question ${i}`)
        return await text(socket)
      }),
    )
    assert.deepEqual(
      answers,
      answers.map((_, i) => `question ${i}`),
    )
    echo.close()
  })
}
