// What a container's process is given: arguments, environment, directory, user, mounts, devices, a root file system.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { type ContainerInit, criSuite } from './suite.ts'

criSuite('the process of a container', (cri) => {
  before(async () => {
    const { entry, bare, userName, userUid } = cri.images
    for (const image of [entry, bare, userName, userUid]) await cri.image.pullImage({ image: { image } })
  })

  describe('command and arguments', () => {
    const table: [string, { command?: string[]; args?: string[] }, string][] = [
      ['nothing: Entrypoint and Cmd of the image', {}, 'entry cmd one'],
      ['args: Entrypoint and args', { args: ['mine'] }, 'entry mine'],
      ['command: command alone', { command: ['echo', 'other'] }, 'other'],
      ['both: both', { command: ['echo', 'other'], args: ['a b', ''] }, 'other a b '],
    ]
    for (const [what, change, expected] of table) {
      it(what, async () => {
        await using pod = await cri.pod()
        const container = await pod.run({ image: { image: cri.images.entry }, command: [], ...change })
        await container.exited()
        assert.equal(container.output(), `${expected}\n`)
      })
    }

    it('nothing at all is an error', async () => {
      await using pod = await cri.pod()
      const nothing = pod.create({ image: { image: cri.images.bare }, command: [], args: [] })
      await assert.rejects(nothing.then((container) => container.start()))
    })

    it('args alone with an image without Entrypoint are the command', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ image: { image: cri.images.bare }, command: [], args: ['/bin/echo', 'args'] })
      await container.exited()
      assert.equal(container.output(), 'args\n')
    })

    it('arguments arrive unchanged', async () => {
      await using pod = await cri.pod()
      const odd = ['', ' ', '$HOME', "it's", '"', '\\n', 'line\nfeed', 'ünï', '--', '%s']
      const { output } = await runAndRead(pod, {
        command: ['sh', '-c', 'for a in "$@"; do printf "[%s]" "$a"; done; echo', 'sh'],
        args: odd,
      })
      assert.equal(output, `${odd.map((text) => `[${text}]`).join('')}\n`)
    })
  })

  describe('environment and directory', () => {
    it("has the image's variables, then the request's, which win", async () => {
      await using pod = await cri.pod()
      const envs = [
        { key: 'FOO', value: Buffer.from('mine') },
        { key: 'EMPTY', value: Buffer.from('') },
        { key: 'SPACED', value: Buffer.from('a  b=c\nd') },
      ]
      const container = await pod.run({ image: { image: cri.images.entry }, envs })
      assert.equal(await container.sh('echo "$FOO|$BAR|$EMPTY|$SPACED"; env | grep -c ^EMPTY='), 'mine|image||a  b=c\nd\n1')
    })

    it('has a PATH even when the image has none', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ image: { image: cri.images.bare }, command: ['/bin/sleep', '10000'] })
      assert.match(await container.sh('echo $PATH'), /\/bin/)
    })

    it('works in the directory of the request, else of the image, else /', async () => {
      await using pod = await cri.pod()
      const image = { image: cri.images.entry }
      assert.equal(await (await pod.run({ image })).sh('readlink /proc/1/cwd'), '/work')
      assert.equal(await (await pod.run({ image, workingDir: '/tmp' })).sh('readlink /proc/1/cwd'), '/tmp')
      assert.equal(await (await pod.run()).sh('readlink /proc/1/cwd'), '/')
    })

    it('makes a working directory that is missing', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ workingDir: '/not/there' })
      assert.equal(await container.sh('readlink /proc/1/cwd'), '/not/there')
    })
  })

  describe('user and groups', () => {
    const identity = async (change: ContainerInit): Promise<string> => {
      await using pod = await cri.pod()
      // Awaited here: the pod ends with this scope.
      return await (await pod.run(change)).sh('echo $(id -u):$(id -g):$(id -G | tr " " "\\n" | sort -n | tr "\\n" " ")')
    }
    const security = (securityContext: object) => ({ linux: { securityContext } })

    it('root by default', async () => assert.match(await identity({}), /^0:0:0/))

    it("the image's USER by name, its groups from the image's own files", needs('imageUserGroups'), async () => {
      assert.equal(await identity({ image: { image: cri.images.userName } }), '1234:1235:1235 4000')
    })

    it("the image's USER as uid:gid", async () => {
      assert.match(await identity({ image: { image: cri.images.userUid } }), /^1234:1236:/)
    })

    it('run_as_user: the primary group from the image’s passwd, else 0', async () => {
      assert.match(await identity(security({ runAsUser: { value: 1234n } })), /^1234:1235:/)
      assert.match(await identity(security({ runAsUser: { value: 4242n } })), /^4242:0:/)
    })

    it('run_as_username', async () => {
      assert.match(await identity(security({ runAsUsername: 'www-data' })), /^33:33:33 4001/)
    })

    it('a user that the image does not have is refused', async () => {
      await using pod = await cri.pod()
      await assert.rejects(pod.create(security({ runAsUsername: 'nosuch' })))
    })

    it('run_as_group and supplemental groups', async () => {
      const groups = { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n }, supplementalGroups: [3000n, 3001n] }
      assert.equal(await identity(security(groups)), '1000:2000:2000 3000 3001')
    })

    it('a group without a user is refused', async () => {
      await using pod = await cri.pod()
      await assert.rejects(pod.create(security({ runAsGroup: { value: 5n } })))
    })

    it('says invalid_argument for it', needs('invalidCodes'), async () => {
      await using pod = await cri.pod()
      await failsWith('invalid_argument', pod.create(security({ runAsGroup: { value: 5n } })), /run_as_group/)
    })
  })

  describe('mounts and devices', () => {
    it('binds files and directories, read-only and writable', async () => {
      const directory = join(cri.node.world.pods, cri.unique('volume-'))
      mkdirSync(directory)
      writeFileSync(join(directory, 'in'), 'from the host')
      await using pod = await cri.pod()
      const mounts = [
        { containerPath: '/rw', hostPath: directory },
        { containerPath: '/ro', hostPath: directory, readonly: true },
        { containerPath: '/file', hostPath: join(directory, 'in'), readonly: true },
      ]
      const container = await pod.run({ mounts })
      assert.equal(await container.sh('cat /rw/in /ro/in /file'), 'from the host'.repeat(3))
      await container.sh('echo out > /rw/out')
      assert.equal(readFileSync(join(directory, 'out'), 'utf8'), 'out\n')
      assert.notEqual((await container.exec(['sh', '-c', 'echo x > /ro/x'])).exitCode, 0)
      assert.notEqual((await container.exec(['sh', '-c', 'echo x > /file'])).exitCode, 0)
    })

    it('orders mounts by depth, follows a symbolic link of the host', async () => {
      const directory = join(cri.node.world.pods, cri.unique('volume-'))
      mkdirSync(join(directory, 'inner'), { recursive: true })
      writeFileSync(join(directory, 'inner', 'mark'), 'inner')
      const other = join(cri.node.world.pods, cri.unique('volume-'))
      mkdirSync(join(other, 'b'), { recursive: true })
      await using pod = await cri.pod()
      const mounts = [
        { containerPath: '/a/b', hostPath: join(directory, 'inner') },
        { containerPath: '/a', hostPath: other },
      ]
      const container = await pod.run({ mounts })
      assert.equal(await container.sh('cat /a/b/mark'), 'inner')
    })

    it('gives a device of the request with its permissions', async () => {
      await using pod = await cri.pod()
      const devices = [{ hostPath: '/dev/null', containerPath: '/dev/mine', permissions: 'rwm' }]
      const container = await pod.run({ devices })
      assert.match(await container.sh('ls -l /dev/mine'), /^c.* 1, +3 /)
      await container.sh('echo x > /dev/mine')
    })

    it('a read-only root file system takes no writes; /dev/shm and volumes do', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { securityContext: { readonlyRootfs: true } } })
      assert.notEqual((await container.exec(['touch', '/x'])).exitCode, 0)
      await container.sh('touch /dev/shm/x')
    })

    it('each container has a root file system of its own', async () => {
      await using pod = await cri.pod()
      const one = await pod.run()
      const two = await pod.run()
      await one.sh('echo one > /mark; rm /etc/group')
      assert.notEqual((await two.exec(['cat', '/mark'])).exitCode, 0)
      await two.sh('cat /etc/group')
    })
  })

  describe('secure defaults', () => {
    it('few capabilities, no host devices', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      const effective = BigInt(`0x${await container.sh("sed -n 's/^CapEff:\\s*//p' /proc/1/status")}`)
      const SYS_ADMIN = 21n
      assert.equal((effective >> SYS_ADMIN) & 1n, 0n)
      assert.equal(await container.sh('ls /dev/mem /dev/kmsg /dev/vda 2>/dev/null | wc -l'), '0')
    })

    it('masked and read-only paths in /proc, also when the request names none', needs('safeProcPaths'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      assert.equal(await container.sh('cat /proc/timer_list /proc/keys | wc -c'), '0')
      assert.notEqual((await container.exec(['sh', '-c', 'echo 1 > /proc/sys/kernel/panic'])).exitCode, 0)
    })

    it('the seccomp filter of RuntimeDefault', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { securityContext: { seccomp: { profileType: 0 } } } })
      assert.equal(await container.sh("sed -n 's/^Seccomp:\\s*//p' /proc/1/status"), '2')
    })

    it('no_new_privs when asked', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ linux: { securityContext: { noNewPrivs: true } } })
      assert.equal(await container.sh("sed -n 's/^NoNewPrivs:\\s*//p' /proc/1/status"), '1')
    })

    it('no file descriptor of ours', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      assert.deepEqual((await container.sh('ls /proc/1/fd')).split(/\s+/), ['0', '1', '2'])
    })

    it('a privileged container needs a privileged pod', async () => {
      const privileged = { linux: { securityContext: { privileged: true } } }
      await using plain = await cri.pod()
      await assert.rejects(plain.create(privileged))
      await using pod = await cri.pod(privileged)
      const container = await pod.run(privileged)
      assert.match(await container.sh("sed -n 's/^CapEff:\\s*//p' /proc/1/status"), /^0000[0-9a-f]*ff$/)
    })
  })
})

async function runAndRead(
  pod: { run(change: ContainerInit): Promise<{ exited(): Promise<unknown>; output(): string }> },
  change: ContainerInit,
) {
  const container = await pod.run(change)
  await container.exited()
  return { output: container.output() }
}
