import assert from 'node:assert/strict'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { createConnection, createServer, Socket } from 'node:net'
import { hostname } from 'node:os'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { createHost } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { scratch } from './scratch.ts'

const host = createHost()
const { signal } = new AbortController()
const kinds = ['net', 'ipc', 'uts'] as const
const ours = () => kinds.map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`)).join()

async function inside(directory: string, script: string): Promise<string> {
  const enter = kinds.map((kind) => `--${kind}=${directory}/${kind}`)
  const { stdout, stderr, exitCode } = await host.processes.run({
    argv: ['/usr/bin/nsenter', ...enter, '/bin/sh', '-c', script],
    timeoutMs: 5000,
    signal,
  })
  assert.equal(exitCode, 0, stderr.toString())
  return stdout.toString()
}

test('pin() makes configured namespaces and comes back', needsRoot(), async () => {
  await using dir = scratch()
  const before = ours()
  const name = hostname()
  const directory = `${dir.path}/pod`
  host.namespaces.pin({
    directory,
    kinds,
    hostname: 'web-1',
    sysctls: { 'net.ipv4.ip_unprivileged_port_start': '81', 'kernel.shm_rmid_forced': '1' },
  })
  assert.equal(ours(), before)
  assert.equal(hostname(), name)
  for (const kind of kinds) assert.ok(host.namespaces.isPinned(directory, kind))
  const script =
    'hostname; cat /sys/class/net/lo/flags 2>/dev/null; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; ip -o addr show lo'
  const told = await inside(directory, script)
  assert.match(told, /^web-1\n/)
  assert.match(told, /^81\n1\n/m)
  assert.match(told, /127\.0\.0\.1\/8/)
  await host.namespaces.unpin(directory)
  await host.namespaces.unpin(directory)
  assert.ok(!existsSync(directory))
})

test('pin() fifty times leaves nothing after unpin()', needsRoot(), async () => {
  await using dir = scratch()
  const before = ours()
  const times: number[] = []
  const inodes = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const start = performance.now()
    host.namespaces.pin({ directory: `${dir.path}/${i}`, kinds })
    times.push(performance.now() - start)
  }
  for (const { target, root } of host.mounts.list()) if (target.startsWith(dir.path)) inodes.add(root)
  assert.equal(inodes.size, 150)
  assert.equal(ours(), before)
  for (let i = 0; i < 50; i++) await host.namespaces.unpin(`${dir.path}/${i}`)
  assert.deepEqual(readdirSync(dir.path), [])
  const [fastest = 0, ...others] = times.toSorted((a, b) => a - b)
  console.log(`pin: fastest ${fastest.toFixed(2)} ms, median ${others[24]?.toFixed(2)} ms`)
})

test('pin() leaves nothing when it fails half way', needsRoot(), async () => {
  await using dir = scratch()
  const before = ours()
  const directory = `${dir.path}/pod`
  for (const sysctls of [{ 'net.does.not_exist': '1' }, { 'kernel.shm_rmid_forced': 'nonsense' }]) {
    assert.throws(() => host.namespaces.pin({ directory, kinds, sysctls }))
    assert.ok(!existsSync(directory))
    assert.equal(ours(), before)
  }
  assert.throws(
    () => host.namespaces.pin({ directory, kinds: ['net'], hostname: 'host' }),
    (err) => codeOf(err) === 'invalid_argument',
  )
  host.namespaces.pin({ directory, kinds: ['net'] })
  assert.throws(
    () => host.namespaces.pin({ directory, kinds }),
    (err) => codeOf(err) === 'already_exists',
  )
  assert.ok(host.namespaces.isPinned(directory, 'net'))
  await host.namespaces.unpin(directory)
})

test('pin() works on a shared mount, and unpin() while the pin is held open', needsRoot(), async () => {
  await using dir = scratch()
  const shared = `${dir.path}/shared`
  mkdirSync(shared)
  host.mounts.mount({ type: 'tmpfs', source: 'tmpfs', destination: shared, options: ['shared'] })
  assert.match(host.mounts.list().find(({ target }) => target === shared)?.propagation[0] ?? '', /shared/)
  host.namespaces.pin({ directory: `${shared}/pod`, kinds })
  const fd = openSync(`${shared}/pod/net`, 'r')
  await host.namespaces.unpin(`${shared}/pod`)
  assert.ok(!existsSync(`${shared}/pod`))
  closeSync(fd)
  await host.mounts.unmount(shared)
})

test('dial() connects inside, not outside', needsRoot(), async () => {
  await using dir = scratch()
  const directory = `${dir.path}/pod`
  const before = ours()
  host.namespaces.pin({ directory, kinds })
  await using listener = await host.processes.start({
    argv: [
      '/usr/bin/nsenter',
      `--net=${directory}/net`,
      '/usr/bin/socat',
      'TCP6-LISTEN:4711,fork,reuseaddr,ipv6only=0',
      'EXEC:/bin/cat',
    ],
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  for (const address of ['127.0.0.1', '::1']) {
    const fd = await untilAccepted(() => host.namespaces.dial(`${directory}/net`, address, 4711, signal))
    const socket = new Socket({ fd })
    socket.end('ping')
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk)
    assert.equal(Buffer.concat(chunks).toString(), 'ping')
  }
  await assert.rejects(
    host.namespaces.dial(`${directory}/net`, '127.0.0.1', 4712, signal),
    (err) => codeOf(err) === 'unavailable',
  )
  assert.equal(await refusesHere(4711), true)
  assert.equal(ours(), before)
  await listener[Symbol.asyncDispose]()
  await host.namespaces.unpin(directory)
})

async function untilAccepted<T>(attempt: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await attempt()
    } catch (err) {
      if (i > 100) throw err
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function refusesHere(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = createConnection(port, '127.0.0.1')
  socket.once('connect', () => resolve(false)).once('error', () => resolve(true))
  return promise.finally(() => socket.destroy())
}

test('servers of ours still belong to the host after a pin', needsRoot(), async () => {
  await using dir = scratch()
  const directory = `${dir.path}/pod`
  host.namespaces.pin({ directory, kinds })
  const server = createServer((socket) => socket.end('host'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  await assert.rejects(host.namespaces.dial(`${directory}/net`, '127.0.0.1', address.port, signal))
  server.close()
  await host.namespaces.unpin(directory)
})
