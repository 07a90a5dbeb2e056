// The daemon as a process: one instance for one socket, several side by side, signals, configuration.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ContainerState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import type { World } from '@coracle/testkit/world'
import { needs, product } from './differences.ts'
import { Cri } from './suite.ts'

const coracle = fileURLToPath(new URL('../../bin/coracle', import.meta.url))
const coracled = fileURLToPath(new URL('../../bin/coracled', import.meta.url))
const options = product === 'coracle' ? needsRoot() : needs('ownProcess')

const flagsOf = ({ root, state, socket, cniConfigDir, cniPluginDir }: World) => [
  ...['--root', root, '--state', state, '--socket', socket],
  ...['--cni-config-dir', cniConfigDir, '--cni-plugin-dir', cniPluginDir],
]

describe('the daemon as a process', options, () => {
  it('refuses to be a second instance, naming the pid of the first, which goes on', async () => {
    await using cri = await new Cri().open()
    const second = await run([coracled, '--config', join(cri.node.world.directory, 'coracle.toml'), ...flagsOf(cri.node.world)])
    assert.notEqual(second.exitCode, 0)
    assert.match(second.stderr, new RegExp(`\\b${cri.node.pid()}\\b`))
    await cri.runtime.version({})
  })

  it('replaces the stale socket of a daemon that was killed', async () => {
    await using cri = await new Cri().open()
    await cri.node.kill9()
    assert.ok(existsSync(cri.node.world.socket))
    await cri.node.restart()
    await cri.runtime.version({})
  })

  it('leaves a socket alone that another program listens on', async () => {
    await using cri = await new Cri().open()
    const socket = join(cri.node.world.directory, 'other.sock')
    const other = createServer((connection) => connection.end())
    await new Promise<void>((resolve) => other.listen(socket, resolve))
    const flags = flagsOf({ ...cri.node.world, socket, root: `${cri.node.world.root}2`, state: `${cri.node.world.state}2` })
    const { exitCode, stderr } = await run([coracled, '--config', '/dev/null', ...flags], 20_000)
    assert.notEqual(exitCode, 0)
    assert.match(stderr, /other\.sock/)
    assert.ok(other.listening && existsSync(socket))
    await new Promise((resolve) => other.close(resolve))
  })

  it('two live side by side, each with its own pods', async () => {
    await using one = await new Cri().open()
    await using two = await new Cri().open()
    await using pod = await one.pod()
    await using other = await two.pod()
    const ids = async (cri: Cri) => (await cri.runtime.listPodSandbox({})).items.map(({ id }) => id)
    assert.deepEqual(await ids(one), [pod.id])
    assert.deepEqual(await ids(two), [other.id])
    await (await pod.run()).sh('true')
    await (await other.run()).sh('true')
  })

  it('SIGTERM stops serving and leaves containers alone', async () => {
    await using cri = await new Cri().open()
    await using pod = await cri.pod()
    const container = await pod.run({ command: ['sh', '-c', 'while :; do echo tick; sleep 0.1; done'] })
    await container.logContains('tick')
    await cri.node.stop()
    const before = container.log().length
    await eventually('it goes on', () => container.log().length > before + 3)
    await cri.node.restart()
    assert.equal((await container.status()).state, ContainerState.CONTAINER_RUNNING)
  })

  it('SIGTERM ends it also when a client is suspended and lets go of nothing', async () => {
    await using cri = await new Cri().open()
    const client = spawn(coracle, ['-r', `unix://${cri.node.world.socket}`, 'events'], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      let heard = ''
      client.stdout.setEncoding('utf8').on('data', (text: string) => {
        heard += text
      })
      await eventually('the client listens', async () => {
        await using _pod = await cri.pod()
        return heard !== ''
      })
      client.kill('SIGSTOP')
      // Not by stop(), which kills what does not end.
      let ended = false
      void cri.node.ended().then(() => {
        ended = true
      })
      process.kill(cri.node.pid(), 'SIGTERM')
      await eventually('the daemon has ended', () => ended, { timeoutMs: 60_000 })
    } finally {
      client.kill('SIGKILL')
    }
    await cri.node.restart()
  })

  it('SIGHUP takes over what can be reloaded, and says what cannot', async () => {
    await using cri = await new Cri().open()
    const file = join(cri.node.world.directory, 'coracle.toml')
    const printed = await run([coracled, 'config', '--default'])
    assert.equal(printed.exitCode, 0, printed.stderr)
    assert.match(printed.stdout, /^#?\[log\]/m)
    writeFileSync(file, '[log]\nlevel = "debug"\n')
    process.kill(cri.node.pid(), 'SIGHUP')
    await eventually('it says what changed', () => /"path":"log\.level"/.test(cri.node.log()))
    await cri.runtime.version({})
    const registry = cri.images.busybox.split('/')[0] ?? ''
    const busybox = { image: { image: cri.images.busybox } }
    writeFileSync(file, `[images]\npinned = ["${cri.images.busybox}"]\n[registries."${registry}"]\nblocked = true\n`)
    process.kill(cri.node.pid(), 'SIGHUP')
    await eventually('the registry is blocked', () => /"path":"registries\.[^"]*blocked"/.test(cri.node.log()))
    await assert.rejects(cri.image.pullImage(busybox), { message: /blocked by the configuration/ })
    writeFileSync(file, `[images]\npinned = ["${cri.images.busybox}"]\n`)
    process.kill(cri.node.pid(), 'SIGHUP')
    await eventually('it is no longer', () =>
      cri.image.pullImage(busybox).then(
        () => true,
        () => false,
      ),
    )
    assert.equal((await cri.image.imageStatus(busybox)).image?.pinned, true)
  })

  it('an unknown key is an error with file, line and key, and nothing is started', async () => {
    await using cri = await new Cri().open()
    const file = join(cri.node.world.directory, 'wrong.toml')
    writeFileSync(file, '# a comment\n[log]\nlevle = "debug"\n')
    for (const command of [['config', '--check'], []]) {
      const { exitCode, stderr } = await run([coracled, ...command, '--config', file], 20_000)
      assert.notEqual(exitCode, 0)
      assert.match(stderr, /wrong\.toml:3/)
      assert.match(stderr, /levle/)
    }
  })

  it('keeps everything below the directories given', async () => {
    await using cri = await new Cri().open()
    await using pod = await cri.pod()
    await pod.run()
    const open = await run(['sh', '-c', `ls -l /proc/${cri.node.pid()}/fd | grep -o '/[^ ]*$' | sort -u`])
    const elsewhere = open.stdout
      .split('\n')
      .filter((path) => /^\/(run|var|etc|tmp)\//.test(path) && !path.startsWith(cri.node.world.directory))
    assert.deepEqual(elsewhere, [])
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    const ours = mounts.filter((line) => line.includes(pod.id)).map((line) => line.split(' ')[4] ?? '')
    for (const target of ours) assert.ok(target.startsWith(cri.node.world.directory), target)
  })
})
