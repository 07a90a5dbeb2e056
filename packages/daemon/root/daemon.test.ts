// The daemon as a process on a real kernel: its files, its environment, systemd, hostile clients, a full disk.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { codeOf } from '@coracle/base/errors'
import { ContainerState, PodSandboxState } from '@coracle/cri-api'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { pushTestImages, type TestImages } from '@coracle/testkit/busybox-images'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type NodeOptions, startNode, type TestNode } from '@coracle/testkit/node'
import { run, startProgram } from '@coracle/testkit/program'
import { startRegistry } from '@coracle/testkit/registry'

const coracled = fileURLToPath(new URL('../../../bin/coracled', import.meta.url))

interface Scene extends AsyncDisposable {
  readonly node: TestNode
  readonly busybox: string
}

/** A node that has the busybox image. */
async function withImage(options: NodeOptions = {}): Promise<Scene> {
  await using made = new AsyncDisposableStack()
  const { TEST_REGISTRY: shared, TEST_IMAGES: pushed } = process.env
  // The runner writes it, with the type it says.
  let images = pushed === undefined ? undefined : (JSON.parse(pushed) as TestImages)
  let host = shared
  if (images === undefined || host === undefined) {
    const registry = made.use(await startRegistry())
    images = await pushTestImages(registry)
    host = registry.host
  }
  const config = `${options.config ?? ''}\n[registries."${host}"]\ninsecure = true\n`
  const node = made.use(await startNode({ ...options, config }))
  await node.client.image.pullImage({ image: { image: images.busybox } })
  const owned = made.move()
  return { node, busybox: images.busybox, [Symbol.asyncDispose]: () => owned.disposeAsync() as Promise<void> }
}

const podOf = (node: TestNode, name: string) => ({
  metadata: { name, namespace: 'root', uid: `uid-${name}`, attempt: 0 },
  logDirectory: join(node.world.pods, name),
  linux: { securityContext: { namespaceOptions: { pid: 1 } } },
})

async function runContainer({ node, busybox }: Scene, name: string, runtimeHandler = '') {
  const { runtime } = node.client
  const config = podOf(node, name)
  const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler })
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: 'c', attempt: 0 },
      image: { image: busybox },
      command: ['sleep', '1000'],
      logPath: 'c.log',
      linux: { securityContext: { namespaceOptions: { pid: 1 } } },
    },
  })
  await runtime.startContainer({ containerId })
  return { podSandboxId, containerId }
}

const asNobody = (...argv: string[]) => run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...argv])

describe('files of the daemon', needsRoot(), () => {
  it('none of them can be read, and the socket not used, by another user', async () => {
    await using scene = await withImage()
    const { world } = scene.node
    const { containerId } = await runContainer(scene, 'files')
    await run(['chmod', '0755', world.directory])
    const { stdout } = await asNobody('find', world.root, world.state, world.socket, '!', '-type', 'd', '-readable')
    assert.equal(stdout, '')
    const { stdout: modes } = await run(['stat', '-c', '%a %n', world.root, world.state, world.socket])
    assert.deepEqual(modes.trim().split('\n'), [`700 ${world.root}`, `711 ${world.state}`, `660 ${world.socket}`])
    const connected = await asNobody('socat', '-u', '/dev/null', `UNIX-CONNECT:${world.socket}`)
    assert.match(connected.stderr, /Permission denied/)
    const bundle = await asNobody('cat', join(world.state, 'containers', containerId, 'config.json'))
    assert.notEqual(bundle.exitCode, 0)
  })
})

describe('environment of the daemon', needsRoot(), () => {
  it('reaches neither containers nor their monitors', async () => {
    await using scene = await withImage({
      env: { NODE_OPTIONS: '--no-deprecation', LD_LIBRARY_PATH: '/canary', CANARY: 'canary' },
    })
    const { containerId } = await runContainer(scene, 'environment')
    const { runtime } = scene.node.client
    const { stdout } = await runtime.execSync({ containerId, cmd: ['sh', '-c', 'env; cat /proc/1/environ'], timeout: 10n })
    assert.doesNotMatch(Buffer.from(stdout).toString(), /canary|NODE_OPTIONS/i)
    const { info } = await runtime.containerStatus({ containerId, verbose: true })
    const { monitorPid } = JSON.parse(info['info'] ?? '{}') as { monitorPid: number }
    assert.doesNotMatch(readFileSync(`/proc/${monitorPid}/environ`, 'utf8'), /canary|NODE_OPTIONS/i)
  })
})

describe('systemd', needsRoot(), () => {
  it('is told of readiness, life, reloads and the end', async () => {
    const directory = makeOwnDirectory('ct-notify-')
    const [socket, log] = [join(directory, 's'), join(directory, 'log')]
    try {
      await using _receiver = await startProgram({ argv: ['socat', '-u', `UNIX-RECV:${socket}`, 'STDOUT'], logPath: log })
      await eventually('it listens', async () => (await run(['test', '-S', socket])).exitCode === 0)
      const told = (words: RegExp) => eventually(`${words}`, () => words.test(readFileSync(log, 'utf8')))
      await using node = await startNode({ env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '300000' } })
      await told(/READY=1\nSTATUS=serving/)
      await told(/WATCHDOG=1/)
      process.kill(node.pid(), 'SIGHUP')
      await told(/RELOADING=1\nMONOTONIC_USEC=\d+READY=1/)
      await node.stop()
      await told(/STOPPING=1/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

describe('hostile clients', needsRoot(), () => {
  it('leave the daemon up', async () => {
    await using node = await startNode()
    const { socket } = node.world
    const pid = node.pid()
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      '\0'.repeat(100_000),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'.padEnd(5000, '\xff'),
    ]) {
      const client = connectSocket(socket)
      client.on('error', () => {})
      client.end(Buffer.from(bytes, 'latin1'))
      await Promise.race([new Promise((resolve) => client.once('close', resolve)), sleep(1000)])
      client.destroy()
    }
    const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(socket) })
    session.on('error', () => {})
    const headers = {
      ':method': 'POST',
      ':path': '/runtime.v1.RuntimeService/ListContainers',
      'content-type': 'application/grpc',
    }
    // Calls that are given up as fast as they are made.
    for (let n = 0; n < 2000 && !session.closed && !session.destroyed; n++) {
      const stream = session.request(headers)
      stream.on('error', () => {})
      stream.close(8)
      if (n % 100 === 0) await sleep(1)
    }
    // A message that claims to be of 4 GiB, one with a reserved flag, one that is cut off, and one that is no protobuf.
    for (const frame of ['00ffffffff', 'ff00000000', '00000000', '0000000003ffffff']) {
      const stream = session.closed || session.destroyed ? undefined : session.request(headers)
      stream?.on('error', () => {})
      stream?.end(Buffer.from(frame, 'hex'))
      await sleep(20)
    }
    session.destroy()
    assert.equal((await node.client.runtime.version({})).runtimeName, 'coracle')
    assert.equal(node.pid(), pid)
  })

  it('SIGUSR1 opens no inspector', async () => {
    await using node = await startNode()
    process.kill(node.pid(), 'SIGUSR1')
    await sleep(300)
    await node.client.runtime.version({})
    assert.doesNotMatch(node.log(), /Debugger listening/)
  })

  it('messages up to 16 MiB are taken, larger ones refused, a thousand lists at once answered', async () => {
    await using node = await startNode()
    const { runtime } = node.client
    const config = (bytes: number) => ({ ...podOf(node, 'x'), annotations: { big: 'x'.repeat(bytes) } })
    const codeFor = (bytes: number) => runtime.runPodSandbox({ config: config(bytes) }).then(() => 'ok', codeOf)
    // Too much for an annotation, but it was read.
    assert.ok(['invalid_argument', 'ok'].includes(await codeFor(16 * 1024 * 1024 - 1000)))
    assert.equal(await codeFor(17 * 1024 * 1024), 'resource_exhausted')
    const lists = await Promise.all(Array.from({ length: 1000 }, () => runtime.listContainers({})))
    assert.equal(lists.length, 1000)
  })

  it('a call with a millisecond of time is late; its retry gets the pod', async () => {
    await using node = await startNode()
    const { runtime } = node.client
    const config = podOf(node, 'late')
    const code = await runtime.runPodSandbox({ config }, { timeoutMs: 1 }).then(() => 'ok', codeOf)
    assert.equal(code, 'deadline_exceeded')
    const { podSandboxId } = await runtime.runPodSandbox({ config })
    const { items } = await runtime.listPodSandbox({})
    assert.deepEqual(
      items.map(({ id }) => id),
      [podSandboxId],
    )
  })
})

describe('commands', needsRoot(), () => {
  it('config and doctor tell by their exit code', async () => {
    const directory = makeOwnDirectory('ct-config-')
    try {
      const [good, bad] = [join(directory, 'good.toml'), join(directory, 'bad.toml')]
      writeFileSync(good, '[log]\nlevel = "debug"\n')
      writeFileSync(bad, '[log]\nlevel = "loud"\n')
      const shown = await run([coracled, 'config', '--config', good])
      assert.equal(shown.exitCode, 0)
      assert.match(shown.stdout, /level = "debug" +# .*good\.toml:2/)
      assert.deepEqual(await run([coracled, 'config', '--check', '--config', good]), { exitCode: 0, stdout: '', stderr: '' })
      const refused = await run([coracled, 'config', '--check', '--config', bad])
      assert.equal(refused.exitCode, 1)
      assert.match(refused.stderr, /bad\.toml:2: log\.level "loud"/)
      const doctor = await run([coracled, 'doctor', '--cni-config-dir', join(directory, 'none'), '--root', directory])
      assert.equal(doctor.exitCode, 1)
      assert.match(doctor.stdout, /missing +network configuration: no file in/)
      assert.equal((await run([coracled, '--no-such-flag'])).exitCode, 1)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

describe('a handler that the configuration loses', needsRoot(), () => {
  it('leaves its pods running, not ready, and removable', async () => {
    const other = '[runtimes.other]\npath = "/usr/sbin/runc"\nkind = "runc"\n'
    await using scene = await withImage({ config: other })
    const { node } = scene
    const { podSandboxId, containerId } = await runContainer(scene, 'handler', 'other')
    const file = join(node.world.directory, 'coracle.toml')
    writeFileSync(file, readFileSync(file, 'utf8').replace(other, ''))
    await node.restart()
    const { runtime } = node.client
    assert.equal((await runtime.podSandboxStatus({ podSandboxId })).status?.state, PodSandboxState.SANDBOX_NOTREADY)
    assert.equal((await runtime.containerStatus({ containerId })).status?.state, ContainerState.CONTAINER_RUNNING)
    const refused = runtime.runPodSandbox({ config: podOf(node, 'more'), runtimeHandler: 'other' }).then(() => 'ok', codeOf)
    assert.equal(await refused, 'invalid_argument')
    await runtime.removePodSandbox({ podSandboxId })
    assert.deepEqual((await runtime.listContainers({})).containers, [])
  })
})

describe('a full disk', needsRoot(), () => {
  it('refuses what is new and lets go of what is there', async () => {
    const disk = makeOwnDirectory('ct-full-')
    await run(['mount', '-t', 'tmpfs', '-o', 'size=128m', 'tmpfs', disk])
    try {
      mkdirSync(join(disk, 'root'))
      await using scene = await withImage({ extraFlags: ['--root', join(disk, 'root')] })
      const { runtime } = scene.node.client
      const ids = [await runContainer(scene, 'one'), await runContainer(scene, 'two')]
      await run(['sh', '-c', `cat /dev/zero > ${disk}/ballast; cat /dev/zero >> ${disk}/ballast`])
      let failures = 0
      for (let n = 0; n < 40 && failures === 0; n++) {
        await runtime.runPodSandbox({ config: podOf(scene.node, `more${n}`) }).catch(() => failures++)
      }
      for (const { containerId } of ids) await runtime.stopContainer({ containerId, timeout: 1n })
      for (const { id } of (await runtime.listPodSandbox({})).items) {
        await runtime.stopPodSandbox({ podSandboxId: id })
        await runtime.removePodSandbox({ podSandboxId: id })
      }
      assert.deepEqual((await runtime.listContainers({})).containers, [])
      rmSync(join(disk, 'ballast'))
      await runContainer(scene, 'again')
    } finally {
      await run(['umount', disk])
      rmSync(disk, { recursive: true })
    }
  })
})
