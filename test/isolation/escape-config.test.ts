// The escape kit, second part: image configuration and annotations as policy, and processes that look for the node's own.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '@coracle/testkit/eventually'
import { failsWith } from '../cri/expect.ts'
import { Canary } from './canary.ts'
import { needs } from './differences.ts'
import {
  type ContainerInit,
  type ContainerUnderTest,
  hostLibraries,
  hostUsr,
  isolationSuite,
  limitOf,
  programRuns,
  pushImage,
} from './suite.ts'

const asleep: ContainerInit = { command: ['sleep', '10000'] }

isolationSuite(
  'escape: configuration',
  (bed) => {
    const stateOf = (container: ContainerUnderTest) => join(bed.cri.node.world.state, 'containers', container.id, 'config.json')

    test('CVE-2024-40635 CVE-2026-46680 CVE-2016-3697: a USER that is no user id is refused, whatever passwd says', async () => {
      await using pod = await bed.pod()
      for (const User of [
        '2147483648',
        '4294967296',
        '4294967295',
        '-1',
        '+0',
        '0x0',
        '1e3',
        '1_0',
        ' 0',
        '9007199254740993',
        '0:99999999999',
      ]) {
        // What looks like a number is never a name; other words may be names, but are none here.
        const [name = ''] = User.split(':')
        const passwd = /^[0-9]+$/.test(name) ? `${name}:x:0:0::/:/bin/sh\n` : ''
        const image = await pushImage(bed.cri, `isolation/user-${randomBytes(6).toString('hex')}`, {
          layers: [[{ path: 'etc/passwd', body: passwd }]],
          config: { User },
        })
        await failsWith(['invalid_argument', 'failed_precondition'], pod.create({ ...asleep, image: { image } }))
      }
    })

    test('CVE-2026-57231 CVE-2021-3602 CVE-2020-14370: nothing of the daemon’s environment comes in', async () => {
      const image = await pushImage(bed.cri, `isolation/env-${bed.handler}`, {
        config: { Env: ['PATH=/bin', '*', '=x', 'CANARY_OF_NODE', 'CANARY*', 'A=1'] },
      })
      await using pod = await bed.pod()
      const container = await pod.run({ ...asleep, image: { image } })
      await programRuns(container)
      for (const process of ['1', 'self']) {
        const names = (await container.sh(`cat /proc/${process}/environ | tr '\\0' '\\n'`))
          .split('\n')
          .map((line) => line.split('=')[0] ?? '')
        assert.deepEqual(
          names.filter((name) => !['PATH', 'HOME', 'HOSTNAME', 'A', 'SHLVL', 'PWD'].includes(name)),
          [],
        )
        assert.ok(names.includes('A'))
      }
      const monitor = readFileSync(`/proc/${await monitorOf(container)}/environ`, 'latin1')
      assert.ok(!monitor.includes('CANARY'), monitor)
    })

    test('CVE-2022-4318 CVE-2026-15809: a HOME that would be two lines of passwd is refused', async () => {
      await using pod = await bed.pod()
      for (const value of ['/x\nroot2::0:0::/:/bin/sh', '/x\rroot2', '/x:/y'])
        await failsWith('invalid_argument', pod.create({ envs: [{ key: 'HOME', value: Buffer.from(value) }] }), /HOME/)
    })

    test('CVE-2026-53488 CVE-2024-3154 CVE-2023-6476 CVE-2026-44210: labels and annotations do not reach the runtime', async () => {
      const bad = {
        'org.systemd.property.SuccessAction': "'poweroff-force'",
        'io.kubernetes.cri-o.UnifiedCgroup.x': 'memory.max=max',
        'IO.kubernetes.cri-o.UnifiedCgroup.x': 'memory.max=max',
        'io.katacontainers.config.hypervisor.virtio_fs_extra_args': '["-o"]',
        'run.oci.seccomp_bpf_data': 'AAAA',
        'dev.gvisor.spec.mount.x': 'y',
        'coracle.dev/internal': 'z',
      }
      const image = await pushImage(bed.cri, `isolation/labels-${bed.handler}`, { config: { Labels: bad } })
      await using pod = await bed.pod({ annotations: bad })
      const container = await pod.run({
        ...asleep,
        image: { image },
        annotations: bad,
        linux: {
          securityContext: { namespaceOptions: { pid: 1 } },
          resources: { memoryLimitInBytes: BigInt(64 << 20) },
        } as ContainerInit['linux'] & object,
      })
      const spec = JSON.parse(readFileSync(stateOf(container), 'utf8')) as { annotations?: Record<string, string> }
      for (const [name, value] of Object.entries(spec.annotations ?? {})) {
        assert.ok(!(name in bad), name)
        assert.ok(!Object.values(bad).includes(value), name)
      }
      const found = await bed.inspect(container)
      assert.equal(limitOf(found, 'memory.limit_in_bytes') ?? limitOf(found, 'memory.max'), String(64 << 20))
    })

    test('CVE-2026-94603 CVE-2026-53492 CVE-2024-8676: a checkpoint is an ordinary image', async () => {
      const image = await pushImage(bed.cri, `isolation/checkpoint-${bed.handler}`, {
        layers: [
          [
            { path: 'config.dump', body: '{"id":"x"}' },
            { path: 'spec.dump', body: '{"process":{"user":{"uid":0}}}' },
          ],
        ],
        config: { Labels: { 'io.kubernetes.cri-o.annotations.checkpoint.name': 'x' } },
      })
      await using pod = await bed.pod()
      assert.equal((await pod.shell('id -u', { image: { image }, ...asUser(1234) })).output, '1234\n')
      const container = await pod.run(asleep)
      await failsWith(
        'unimplemented',
        bed.cri.runtime.checkpointContainer({ containerId: container.id, location: '/tmp/x', timeout: 1n }),
      )
    })

    test('CVE-2019-14891: the monitor is outside the pod’s cgroups', async () => {
      await using pod = await bed.pod()
      const container = await pod.run(asleep)
      const cgroup = readFileSync(`/proc/${await monitorOf(container)}/cgroup`, 'latin1')
      assert.ok(!cgroup.includes(pod.id), cgroup)
    })

    const image = bed.image('opener', { layers: [hostLibraries] })
    test('CVE-2019-5736: who opens the programs of those who enter writes nothing to them', async () => {
      await using canary = await Canary.make(bed)
      await using pod = await bed.pod()
      // Opens whatever comes by, for reading first, which a program that runs allows, then that for writing.
      const opener = `while (1) { for my $p (glob "/proc/[0-9]*") { next if $p =~ m{/(1|$$)$}; open(my $r, '<', "$p/exe") or next;
        my $n = fileno($r); for (1..50) { if (open(my $w, '+<', "/proc/self/fd/$n")) { syswrite($w, "#!/bin/sh\\n"); print "wrote $p\\n"; last } } } }`
      const container = await pod.run({
        image: { image: image() },
        mounts: [hostUsr],
        command: ['/usr/bin/perl', '-e', `$| = 1; ${opener}`],
      })
      for (let i = 0; i < 15; i++) await container.exec(['/proc/self/exe', 'true']).catch(() => undefined)
      for (let i = 0; i < 15; i++) assert.equal((await container.exec(['echo', 'still'])).stdout, 'still\n')
      assert.ok(canary)
    })

    test(
      'CVE-2024-45310 CVE-2021-30465 CVE-2026-42306: who swaps a mount’s parent for a link makes nothing on the node',
      needs(bed.handler, 'mountTargets'),
      async () => {
        await using canary = await Canary.make(bed)
        const volume = join(bed.cri.node.world.directory, `race-${bed.handler}`)
        mkdirSync(join(volume, 'real'), { recursive: true })
        symlinkSync(canary.directory, join(volume, 'link'))
        await using pod = await bed.pod()
        const shared = { containerPath: '/vol', hostPath: volume }
        using _racer = racing(volume)
        for (let i = 0; i < 12; i++) {
          const mounts = [shared, { containerPath: `/vol/a/b${i}/c`, hostPath: join(volume, 'real') }]
          const container = await pod.run({ ...asleep, mounts }).catch(() => undefined)
          await container?.remove()
        }
      },
    )
  },
  { env: { CANARY_OF_NODE: '1' } },
)

const asUser = (uid: number): ContainerInit =>
  ({ linux: { securityContext: { namespaceOptions: { pid: 1 }, runAsUser: { value: BigInt(uid) } } } }) as ContainerInit

/** The pid of the monitor: as the daemon says, since init's parent may be another. */
async function monitorOf(container: ContainerUnderTest): Promise<number> {
  return eventually('the monitor is told', async () => {
    const { info } = await container.runtime.containerStatus({ containerId: container.id, verbose: true })
    const { monitorPid } = JSON.parse(info['info'] ?? '{}') as { monitorPid?: number }
    return monitorPid !== undefined && monitorPid > 0 && monitorPid
  })
}

/** Makes `a` below the volume a directory and a link out by turns, as a container beside could. */
function racing(volume: string): Disposable {
  const [a, link] = [join(volume, 'a'), join(volume, 'link')]
  const spare = join(volume, 'spare')
  mkdirSync(a)
  renameSync(link, spare)
  const timer = setInterval(() => {
    // `a` and the spare change places; one of them is the link.
    renameSync(a, `${a}.next`)
    for (let tries = 1; ; tries++) {
      try {
        renameSync(spare, a)
        break
      } catch (err) {
        // A runtime that found no `a` for that moment has made one.
        if (tries === 100) throw err
        rmSync(a, { recursive: true, force: true })
      }
    }
    renameSync(`${a}.next`, spare)
  }, 1)
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
    },
  }
}
