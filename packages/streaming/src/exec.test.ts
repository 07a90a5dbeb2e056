import assert from 'node:assert/strict'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { connectExec, type Transport } from './client/mod.ts'
import { spdyCommandProtocols } from './remote-command-spdy.ts'
import { webSocketCommandProtocols } from './remote-command-websocket.ts'
import { createStreaming } from './streaming.ts'
import type { StdioSelection, StreamExecRequest } from './target.ts'
import { createTestTarget } from './test-target.ts'

const all: StdioSelection = { tty: false, stdin: true, stdout: true, stderr: true }
const request = (command: string[], selection: StdioSelection): StreamExecRequest => ({
  containerId: 'c',
  command,
  ...selection,
})

async function start() {
  const target = createTestTarget()
  const streaming = await createStreaming({}, target)
  const connect = (
    command: string[],
    { transport = 'spdy', protocol, ...rest }: { transport?: Transport; protocol?: string } & Partial<StdioSelection> = {},
  ) => {
    const selection = { ...all, ...rest }
    return connectExec(streaming.execUrl(request(command, selection)), {
      transport,
      selection,
      signal: AbortSignal.timeout(10_000),
      ...(protocol !== undefined && { protocols: protocol === '' ? [] : [protocol] }),
    })
  }
  return { streaming, target, connect, [Symbol.asyncDispose]: () => streaming.close() }
}

const versions: [Transport, string][] = [
  ...['', ...spdyCommandProtocols].map((name): [Transport, string] => ['spdy', name]),
  ...Object.keys(webSocketCommandProtocols).map((name): [Transport, string] => ['websocket', name]),
]

for (const [transport, protocol] of versions) {
  test(`exec over ${transport} ${protocol || '(no protocol named)'} carries output, exit code and failure`, async () => {
    await using rig = await start()
    const options = { transport, protocol, stdin: false }
    const echo = await rig.connect(['echo', 'hé'], options)
    assert.equal(echo.protocol, protocol)
    assert.deepEqual(await Promise.all([text(echo.stdout!), text(echo.stderr!), echo.ended]), [
      'hé\n',
      'to stderr\n',
      { exitCode: 0 },
    ])
    const exit = await rig.connect(['exit', '42'], options)
    assert.deepEqual(await exit.ended, { exitCode: 42 })
    const fail = await rig.connect(['fail'], options)
    const { exitCode, failure } = await fail.ended
    assert.equal(exitCode, 255)
    assert.match(failure?.message ?? '', /no such program/)
  })

  test(`exec over ${transport} ${protocol || '(no protocol named)'} carries input`, async () => {
    await using rig = await start()
    const cat = await rig.connect(['cat'], { transport, protocol, stderr: false })
    cat.stdin!.write('some input')
    const [echoed] = await once(cat.stdout!, 'data')
    assert.equal(String(echoed), 'some input')
    if (transport === 'websocket' && protocol !== 'v5.channel.k8s.io') {
      cat.close()
      return
    }
    cat.stdin!.end(', more')
    assert.equal(await text(cat.stdout!), ', more')
    assert.deepEqual(await cat.ended, { exitCode: 0 })
  })
}

for (const transport of ['spdy', 'websocket'] as const) {
  test(`connecting over ${transport} heeds its signal, the session does not`, async () => {
    await using rig = await start()
    const command = request(['cat'], all)
    const connect = (signal: AbortSignal) => connectExec(rig.streaming.execUrl(command), { transport, selection: all, signal })
    await assert.rejects(connect(AbortSignal.abort()), { code: 'canceled' })
    const controller = new AbortController()
    const cat = await connect(controller.signal)
    controller.abort()
    await new Promise((done) => setTimeout(done, 20))
    cat.stdin!.write('still here')
    assert.equal(String((await once(cat.stdout!, 'data'))[0]), 'still here')
    cat.close()
  })

  test(`exec over ${transport} delivers all output before the exit code`, async () => {
    await using rig = await start()
    const bytes = 20_000_001
    const flood = await rig.connect(['flood', String(bytes)], { transport, stdin: false, stderr: false })
    let received = 0
    flood.stdout!.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    assert.deepEqual(await flood.ended, { exitCode: 7 })
    assert.equal(received, bytes)
  })

  test(`exec over ${transport} counts input of several windows`, async () => {
    await using rig = await start()
    const count = await rig.connect(['count'], { transport, stderr: false })
    const chunk = Buffer.alloc(100_000)
    for (let i = 0; i < 100; i++) if (!count.stdin!.write(chunk)) await once(count.stdin!, 'drain')
    count.stdin!.end()
    assert.equal(await text(count.stdout!), '10000000')
  })

  test(`exec over ${transport} aborts the command when its client leaves`, async () => {
    await using rig = await start()
    const sleep = await rig.connect(['sleep'], { transport })
    while (rig.streaming.usage.sessions === 0) await new Promise((done) => setTimeout(done, 5))
    sleep.close()
    while (rig.target.events.aborted.length === 0) await new Promise((done) => setTimeout(done, 5))
    assert.deepEqual(rig.target.events.aborted, ['sleep'])
  })

  test(`exec over ${transport} takes the first and the last size of a storm`, async () => {
    await using rig = await start()
    const sleep = await rig.connect(['sleep'], { transport, tty: true, stderr: false })
    sleep.resize({ columns: 80, rows: 24 })
    for (let i = 1; i <= 10_000; i++) sleep.resize({ columns: i, rows: 50 })
    const { sizes } = rig.target.events
    while (sizes.at(-1)?.columns !== 10_000) await new Promise((done) => setTimeout(done, 5))
    assert.ok(sizes.length < 200, `${sizes.length} sizes told`)
    sleep.close()
  })

  test(`exec over ${transport} lets a command close its input`, async () => {
    await using rig = await start()
    const closed = await rig.connect(['closeStdin'], { transport, stderr: false })
    const [data] = await once(closed.stdout!, 'data')
    assert.equal(String(data), 'closed')
    for (let i = 0; i < 50; i++) closed.stdin!.write(Buffer.alloc(100_000))
    await new Promise<void>((done) => void closed.stdin!.end(done))
    closed.close()
  })
}
