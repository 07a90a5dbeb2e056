// Devices of the request: what the device cgroup lets through, probed from inside and read from the kernel.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { belong } from '@coracle/testkit/belongings'
import { run } from '@coracle/testkit/program'
import { failsWith } from '../cri/expect.ts'
import { type ContainerUnderTest, type Cri, criSuite } from '../cri/suite.ts'
import { inside, mapped } from './userns-scene.ts'

const unified = existsSync('/sys/fs/cgroup/cgroup.controllers')
const loopControl = { hostPath: '/dev/loop-control', containerPath: '/dev/loop-control' }

const opens = async (container: ContainerUnderTest, path: string): Promise<string> => {
  const attempt = async (redirect: string) => (await container.exec(['sh', '-c', `exec 3${redirect}${path}`])).exitCode === 0
  return `${(await attempt('<')) ? 'r' : ''}${(await attempt('>>')) ? 'w' : ''}`
}

const config = `
[devices]
owner_from_security_context = true
[runtimes.spare]
path = "/usr/sbin/runc"
privileged_without_host_devices = true
`

/** A directory of device nodes below /dev, with a link and a directory in it; gone with its scope. */
async function deviceDirectory(cri: Cri) {
  const path = mkdtempSync(`/dev/${cri.unique('test-')}`)
  belong({ kind: 'directory', path })
  const steps: [string, ...string[]][] = [
    ['/bin/mknod', '-m', '640', join(path, 'fuse'), 'c', '10', '229'],
    ['/bin/chown', '12:34', join(path, 'fuse')],
    ['/bin/mkdir', join(path, 'sub')],
    ['/bin/mknod', '-m', '600', join(path, 'sub/loop'), 'b', '7', '0'],
    ['/bin/ln', '-s', '/dev/vda', join(path, 'link')],
    ['/bin/touch', join(path, 'file')],
  ]
  for (const step of steps) assert.equal((await run(step)).exitCode, 0, step.join(' '))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

criSuite(
  'devices',
  (cri) => {
    for (const handler of ['crun', 'runc'])
      describe(handler, () => {
        it('exactly the permissions that were asked for', async () => {
          await using pod = await cri.pod({}, handler)
          for (const [permissions, seen] of [
            ['rw', 'rw'],
            ['r', 'r'],
            ['w', 'w'],
            ['m', ''],
            ['', 'rw'],
          ] as const) {
            const container = await pod.run({ devices: [{ ...loopControl, permissions }] })
            assert.equal(await opens(container, '/dev/loop-control'), seen, permissions)
          }
        })

        it('nothing that was not asked for, even to who may make nodes', async () => {
          await using pod = await cri.pod({}, handler)
          const container = await pod.run({
            devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/mine', permissions: 'rw' }],
            linux: { securityContext: { capabilities: { addCapabilities: ['MKNOD'] } } },
          })
          await container.sh('mknod /tmp/loop c 10 237; mknod /tmp/kmsg c 1 11; mknod /tmp/disk b 7 0')
          for (const path of ['/tmp/loop', '/tmp/kmsg', '/tmp/disk']) assert.equal(await opens(container, path), '', path)
          assert.equal(await opens(container, '/dev/mine'), 'rw')
          for (const path of ['null', 'zero', 'full', 'random', 'urandom', 'tty']) await container.sh(`test -c /dev/${path}`)
          assert.equal(await opens(container, '/dev/null'), 'rw')
        })

        it('the kernel lists these rules', { skip: unified }, async () => {
          await using pod = await cri.pod({}, handler)
          const container = await pod.run({ devices: [{ ...loopControl, permissions: 'r' }] })
          const line = (await container.sh('cat /proc/self/cgroup')).split('\n').find((text) => text.includes(':devices:'))
          const rules = readFileSync(`/sys/fs/cgroup/devices${line?.split(':')[2]}/devices.list`, 'utf8').split('\n')
          assert.ok(rules.includes('c 10:237 r'), rules.join('; '))
          assert.ok(!rules.some((rule) => /^a |^[bc] \*:\* .*[rw]/.test(rule)), rules.join('; '))
        })

        it('a directory stands for all devices in it, with their owners; links and files are left out', async () => {
          using directory = await deviceDirectory(cri)
          await using pod = await cri.pod({}, handler)
          const container = await pod.run({
            devices: [{ hostPath: `${directory.path}/`, containerPath: '/dev/all', permissions: 'rw' }],
          })
          assert.equal(await container.sh('cd /dev/all; find . ! -type d | sort'), './fuse\n./sub/loop')
          assert.equal(await container.sh('stat -c "%a %u:%g %t:%T" /dev/all/fuse'), '640 12:34 a:e5')
          assert.equal(await opens(container, '/dev/all/fuse'), 'rw')
          assert.equal(await opens(container, '/dev/all/sub/loop'), 'rw')
        })

        it('a link of the host is followed', async () => {
          using directory = await deviceDirectory(cri)
          symlinkSync('/dev/loop-control', join(directory.path, 'to-loop'))
          await using pod = await cri.pod({}, handler)
          const devices = [{ hostPath: join(directory.path, 'to-loop'), containerPath: '/dev/x', permissions: 'r' }]
          const container = await pod.run({ devices })
          assert.equal(await container.sh('stat -c %t:%T /dev/x'), 'a:ed')
        })

        it('in a user namespace it is the device that was asked for, whatever it is called inside', async () => {
          await using pod = await cri.pod(mapped(), handler)
          for (const containerPath of ['/dev/fuse', '/dev/mine', '/dev/kmsg']) {
            const container = await pod.run({
              ...inside(),
              devices: [{ hostPath: '/dev/fuse', containerPath, permissions: 'rw' }],
            })
            assert.equal(await container.sh(`stat -c %t:%T ${containerPath}`), 'a:e5')
          }
        })

        it('a privileged container has all devices of the node', async () => {
          await using pod = await cri.pod({ linux: { securityContext: { privileged: true } } }, handler)
          const container = await pod.run({
            devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/renamed', permissions: 'r' }],
            linux: { securityContext: { privileged: true } },
          })
          for (const path of ['/dev/loop0', '/dev/kmsg', '/dev/fuse', '/dev/renamed']) {
            assert.equal(await container.sh(`stat -c %t:%T ${path}`), hexNumbers(path === '/dev/renamed' ? '/dev/fuse' : path))
          }
          assert.equal(await opens(container, '/dev/loop-control'), 'rw')
        })
      })

    it('a handler may give privileged containers only what they ask for', async () => {
      await using pod = await cri.pod({ linux: { securityContext: { privileged: true } } }, 'spare')
      const container = await pod.run({
        devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/fuse', permissions: 'rw' }],
        linux: { securityContext: { privileged: true } },
      })
      assert.equal(await opens(container, '/dev/fuse'), 'rw')
      await container.sh('test ! -e /dev/loop0 && mknod /tmp/kmsg c 1 11')
      assert.equal(await opens(container, '/tmp/kmsg'), '')
    })

    it('with devices.owner_from_security_context they belong to the user that is asked for', async () => {
      using directory = await deviceDirectory(cri)
      await using pod = await cri.pod()
      const container = await pod.run({
        devices: [{ hostPath: join(directory.path, 'fuse'), containerPath: '/dev/fuse', permissions: 'rw' }],
        linux: { securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n } } },
      })
      assert.equal(await container.sh('stat -c "%a %u:%g" /dev/fuse'), '640 1000:2000')
      assert.equal(await opens(container, '/dev/fuse'), 'rw')
    })

    it('what is no device is refused, and leaves nothing', async () => {
      await using pod = await cri.pod()
      const create = (hostPath: string, containerPath = '/dev/x') =>
        pod.create({ devices: [{ hostPath, containerPath, permissions: 'rw' }] })
      await failsWith('failed_precondition', create('/dev/nosuch'), /devices\[0\]\.host_path "\/dev\/nosuch" is no device/)
      await failsWith('failed_precondition', create('/dev/shm'), /is no device/)
      await failsWith('invalid_argument', create('/etc/passwd'), /must lie below \/dev/)
      await failsWith('invalid_argument', create('/dev/../etc/passwd'), /must lie below \/dev/)
      await failsWith('invalid_argument', create('/dev/null', '/etc/x'), /container_path .* must lie below \/dev/)
      assert.deepEqual((await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })).containers, [])
    })
  },
  { config },
)

const hexNumbers = (path: string): string => {
  const { rdev } = statSync(path)
  return `${((rdev >>> 8) & 0xfff).toString(16)}:${(rdev & 0xff).toString(16)}`
}
