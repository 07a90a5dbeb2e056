import assert from 'node:assert/strict'
import { closeSync, existsSync, mkdirSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { type ChildHandle, createHost, type SeqpacketConnection } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { scratch } from './scratch.ts'

const { sockets, processes } = createHost()
const { signal } = new AbortController()

/** A packet socket that sends back what it gets, packet by packet. */
const echo = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(16)
while True:
  c, _ = s.accept()
  while True:
    data = c.recv(1 << 18)
    if not data: break
    c.send(data)
  c.close()`

/** Sends packets without end and without reading. */
const flood = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(16)
c, _ = s.accept()
sent = 0
while sent < 64 << 20: sent += c.send(b'x' * 8192)
open(sys.argv[1] + '.done', 'w')`

async function python(script: string, path: string): Promise<ChildHandle> {
  const child = await processes.start({
    argv: ['/usr/bin/env', 'python3', '-c', script, path],
    stdio: ['ignore', 'ignore', 'ignore'],
    cwd: '/tmp',
  })
  for (let i = 0; i < 200 && !existsSync(path); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  return child
}

/** bind(2) comes before listen(2): a peer that has just started may still refuse. */
async function connect(path: string): Promise<SeqpacketConnection> {
  for (let i = 0; ; i++) {
    try {
      return await sockets.connectSeqpacket(path)
    } catch (err) {
      if (i >= 100) throw err
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

test('connectSeqpacket() keeps packets and their order, and ends', needsRoot(), async () => {
  // The polling thread and its fds stay: it is started before they are counted.
  {
    await using dir = scratchWithoutFds()
    await using _peer = await python(echo, `${dir.path}/s`)
    using connection = await connect(`${dir.path}/s`)
    connection.end()
    for await (const _ of connection.packets);
  }
  await using dir = scratch()
  const path = `${dir.path}/s`
  await using _peer = await python(echo, path)
  for (let round = 0; round < 5; round++) {
    using connection = await connect(path)
    const sizes = Array.from({ length: 200 }, (_, i) => 1 + ((i * 7919) % 32_768))
    const sent = (async () => {
      for (const [i, size] of sizes.entries()) await connection.send(Buffer.alloc(size, i))
      connection.end()
    })()
    const got: number[] = []
    for await (const packet of connection.packets) {
      assert.equal(packet[0], got.length % 256)
      got.push(packet.length)
    }
    await sent
    assert.deepEqual(got, sizes)
  }
})

function scratchWithoutFds() {
  const { path } = scratch()
  return { path, [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true }) }
}

test('connectSeqpacket() drains a peer whose packets nobody reads, and says so', needsRoot(), async () => {
  await using dir = scratch()
  const path = `${dir.path}/s`
  await using _peer = await python(flood, path)
  using connection = await connect(path)
  for (let i = 0; i < 500 && !existsSync(`${path}.done`); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(existsSync(`${path}.done`))
  await assert.rejects(
    (async () => {
      for await (const _ of connection.packets);
    })(),
    (err) => codeOf(err) === 'resource_exhausted',
  )
})

test('connectSeqpacket() reaches sockets with long paths, and tells which one is absent', needsRoot(), async () => {
  await using dir = scratch()
  const long = `${dir.path}/${'d'.repeat(100)}`
  mkdirSync(long)
  // Python cannot bind a path this long: the peer is told a short one.
  await using _peer = await processes.start({
    argv: ['/usr/bin/socat', 'UNIX-LISTEN:s,type=5,fork', 'EXEC:/bin/cat'],
    cwd: long,
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  for (let i = 0; i < 200 && !existsSync(`${long}/s`); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  {
    using connection = await connect(`${long}/s`)
    await connection.send(Buffer.from('ping'))
    for await (const packet of connection.packets) {
      assert.equal(packet.toString(), 'ping')
      break
    }
  }
  await assert.rejects(sockets.connectSeqpacket(`${long}/none`), (err) => codeOf(err) === 'unavailable')
  await assert.rejects(sockets.connectSeqpacket(`${long}/${'n'.repeat(120)}`), (err) => codeOf(err) === 'invalid_argument')
})

const sender = `
import array, pty, socket, sys
master, slave = pty.openpty()
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendmsg([b'/dev/ptmx'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [master, slave, slave]))])
s.recv(1)`

test('receiveFd() takes one descriptor, closes others, and sizes the terminal', needsRoot(), async () => {
  await using dir = scratch()
  const path = `${dir.path}/console`
  {
    using receiver = await sockets.receiveFd(path)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    await using _peer = await python(sender, path)
    const fd = await receiver.receive(signal)
    assert.equal(readlinkSync(`/proc/self/fd/${fd}`), '/dev/ptmx')
    sockets.setTerminalSize(fd, { columns: 123, rows: 45 })
    await using stty = await processes.start({
      argv: ['/bin/sh', '-c', 'test "$(stty size)" = "45 123"'],
      stdio: [fd, 'ignore', 'ignore'],
    })
    assert.equal((await stty.exited).exitCode, 0)
    assert.throws(
      () => sockets.setTerminalSize(fd, { columns: -1, rows: 1 }),
      (err) => codeOf(err) === 'invalid_argument',
    )
    closeSync(fd)
  }
  assert.ok(!existsSync(path))
})

test('receiveFd() refuses a peer that sends none, and ends on abort', needsRoot(), async () => {
  await using dir = scratch()
  using receiver = await sockets.receiveFd(`${dir.path}/console`)
  await assert.rejects(receiver.receive(AbortSignal.timeout(50)), (err) => codeOf(err) === 'deadline_exceeded')
  const script = 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b"x"); s.recv(1)'
  await using _peer = await python(script, `${dir.path}/console`)
  await assert.rejects(receiver.receive(signal), (err) => codeOf(err) === 'failed_precondition')
})
