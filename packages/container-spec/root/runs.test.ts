// What the kernel says inside containers whose specs were made here, under every runtime.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { needsRoot } from '@coracle/testkit/needs-root'
import type { SpecInput } from '../src/spec-input.ts'
import { type ContainerInit, container, pod, type SecurityInit } from '../test/sample-input.ts'
import { Sandbox } from './sandbox.ts'

for (const runtime of ['/usr/bin/crun', '/usr/sbin/runc']) {
  describe(`specs run under ${runtime}`, needsRoot(), () => {
    let sandbox: Sandbox
    before(async () => {
      sandbox = await Sandbox.create()
    })
    after(async () => {
      await sandbox[Symbol.asyncDispose]()
    })

    /** Runs a shell script in a container; its output, without the last line end. Fails with the runtime's own words. */
    async function shell(script: string, init: Partial<SpecInput> & { security?: SecurityInit; container?: ContainerInit } = {}) {
      const { security, container: containerInit, ...rest } = init
      const linux =
        security === undefined ? containerInit?.linux : { resources: containerInit?.linux?.resources, securityContext: security }
      const config = container({
        command: ['/bin/sh', '-c', script],
        ...containerInit,
        ...(linux === undefined ? {} : { linux }),
      })
      const output = await sandbox.run(runtime, { config, ...rest })
      assert.equal(output.exitCode, 0, `${output.stderr}${output.stdout}`)
      return output.stdout.trimEnd()
    }

    const status = async (init: Parameters<typeof shell>[1], field: RegExp) => {
      const text = await shell('cat /proc/self/status', init)
      return Object.fromEntries(
        text
          .split('\n')
          .map((line) => line.split(/:\s*/))
          .filter(([name]) => field.test(name ?? '')),
      )
    }

    const privilegedPod = () => ({
      ...sandbox.pod,
      config: pod({ linux: { securityContext: { privileged: true } } }),
    })

    test('H-30 H-31 CVE-2022-24769: the nine default capabilities, nothing inheritable or ambient', async () => {
      assert.deepEqual(await status({}, /^(Cap|Seccomp$|NoNewPrivs)/), {
        CapInh: '0000000000000000',
        CapPrm: '00000000000005fb',
        CapEff: '00000000000005fb',
        CapBnd: '00000000000005fb',
        CapAmb: '0000000000000000',
        NoNewPrivs: '0',
        Seccomp: '2',
      })
    })

    test('H-32: no_new_privs, no capabilities after drop ALL', async () => {
      const security = { noNewPrivs: true, capabilities: { dropCapabilities: ['ALL'] } }
      const got = await status({ security }, /^(CapEff|CapBnd|NoNewPrivs)/)
      assert.deepEqual(got, { CapEff: '0000000000000000', CapBnd: '0000000000000000', NoNewPrivs: '1' })
    })

    test('ambient capabilities reach a process that is not root', async () => {
      const security = {
        runAsUser: { value: 1000n },
        capabilities: { dropCapabilities: ['ALL'], addAmbientCapabilities: ['NET_BIND_SERVICE'] },
      }
      const got = await status({ security }, /^(Cap|Uid)/)
      assert.deepEqual(got, {
        Uid: '1000\t1000\t1000\t1000',
        CapInh: '0000000000000400',
        CapPrm: '0000000000000400',
        CapEff: '0000000000000400',
        CapBnd: '0000000000000400',
        CapAmb: '0000000000000400',
      })
    })

    test('a non-root user holds no capability without ambient ones', async () => {
      const got = await status({ security: { runAsUser: { value: 1000n } } }, /^Cap(Eff|Prm|Inh|Amb)/)
      assert.deepEqual(new Set(Object.values(got)), new Set(['0000000000000000']))
    })

    test('CVE-2022-2995: groups with the primary one, from the image and from CRI', async () => {
      const passwd = Buffer.from('app:x:1000:2000::/home/app:/bin/sh\n')
      const group = Buffer.from('app:x:2000:\nextra:x:3000:app\n')
      const security = { supplementalGroups: [4000n] }
      const image = { ...sandbox.input({}).image, user: 'app' }
      const text = await shell('id -u; id -g; grep Groups /proc/self/status; echo $HOME', { passwd, group, security, image })
      assert.equal(text.replace(/\s+/g, ' '), '1000 2000 Groups: 2000 3000 4000 /home/app')
    })

    test('environment, working directory (made when absent) and umask', async () => {
      const envs = [{ key: 'A', value: Buffer.from('b c') }]
      const text = await shell('pwd; umask; echo "$A $HOSTNAME $PATH"', { container: { envs, workingDir: '/made/by/runtime' } })
      assert.equal(text, '/made/by/runtime\n0022\nb c web /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
    })

    test('CVE-2024-21626: no descriptors but the standard three', async () => {
      assert.equal(await shell('ls /proc/self/fd | tr "\\n" " "'), '0 1 2 3')
    })

    test('H-36 H-37: masked and read-only paths', async () => {
      const script = `
        for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do test -e $f && test "$(cat $f | wc -c)" != 0 && echo visible $f; done
        for d in /proc/scsi /proc/acpi /sys/firmware; do test -e $d && test -n "$(ls $d)" && echo visible $d; done
        for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern; do (echo x > $f) 2>/dev/null && echo writable $f; done
        true`
      assert.equal(await shell(script), '')
    })

    test('H-41: /sys and the cgroup tree are read-only', async () => {
      const script =
        'mkdir /sys/fs/cgroup/x 2>&1; (for d in /sys/fs/cgroup/*; do mkdir $d/x 2>&1; done) | grep -v Read-only; touch /sys/x 2>&1; true'
      const text = await shell(script)
      for (const line of text.split('\n')) assert.match(line, /Read-only file system|No such file/)
    })

    test('H-40: /dev is a tmpfs with the default nodes only, ptmx and shm', async () => {
      const text = await shell(
        'stat -f -c %T /dev; ls /dev | tr "\\n" " "; readlink /dev/ptmx; stat -c %a /dev/shm; echo x > /dev/null',
      )
      const [type, names] = text.split('\n')
      assert.equal(type, 'tmpfs')
      const nodes = 'core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero'.split(' ')
      for (const name of (names ?? '').replace('pts/ptmx', '').trim().split(' ')) assert.ok(nodes.includes(name), name)
    })

    test("the pod's files are there and read-only", async () => {
      const text = await shell('cat /etc/resolv.conf /etc/hostname /etc/hosts; (echo x >> /etc/hosts) 2>&1; true')
      assert.match(text, /resolv.conf of the pod\nhostname of the pod\nhosts of the pod/)
      assert.match(text, /Read-only/)
    })

    test('mounts: read-only, options of mount_options, order by depth, literal odd paths (CVE-2024-9407)', async () => {
      const mounts = [
        { containerPath: '/data/deep', hostPath: `${sandbox.directory}/shm`, mountOptions: ['noexec', 'nosuid', 'nodev'] },
        { containerPath: '/data', hostPath: '/usr/share', readonly: true },
        { containerPath: '/data/a,b:c\\040 d', hostPath: '/usr/share/doc', readonly: true },
      ]
      const sources = new Map(mounts.map(({ hostPath }) => [hostPath, { type: 'directory', propagation: 'private' }] as const))
      // /usr/share is the host's: the two mount points below it must exist, so they are mounted elsewhere here.
      mounts[1] = { containerPath: '/data', hostPath: `${sandbox.directory}/shm`, readonly: false } as (typeof mounts)[1]
      const text = await shell('cat /proc/self/mountinfo; touch /data/deep/f /data/f && ls /data', {
        container: { mounts },
        sources,
      })
      assert.match(text, / \/data\/deep [^\n]*noexec/)
      assert.match(text, / \/data\/deep [^\n]*nosuid,nodev/)
      assert.match(text, /a,b:c\\134040\\040d ro/)
    })

    test('readonly_rootfs', async () => {
      const script = '(touch /x) 2>&1; touch /dev/shm/x && echo shm; grep " / / " /proc/self/mountinfo | wc -l'
      assert.match(await shell(script, { security: { readonlyRootfs: true } }), /Read-only file system\nshm/)
    })

    test('resources: memory, cpu, swap as the kernel has them (v1)', async () => {
      const linux = {
        resources: { memoryLimitInBytes: 64n << 20n, cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n, oomScoreAdj: 500n },
      }
      const script = `g=/sys/fs/cgroup; cat $g/memory/memory.limit_in_bytes $g/cpu/cpu.shares $g/cpu/cpu.cfs_quota_us /proc/self/oom_score_adj; cat /proc/self/cgroup`
      const text = await shell(script, { container: { linux } })
      assert.deepEqual(text.split('\n').slice(0, 4), [`${64 << 20}`, '512', '50000', '500'])
      assert.match(text, new RegExp(`memory:${sandbox.cgroup}/`))
    })

    test('H-39: devices are denied unless asked for', async () => {
      const fuse = { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666 } as const
      const devices = new Map([['/dev/fuse', fuse]])
      const script =
        'test -c /dev/fuse && (: < /dev/fuse) && echo open; mknod /tmp/mem c 1 1 2>/dev/null && (: < /tmp/mem) 2>&1; true'
      const config = { devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/fuse', permissions: 'rwm' }] }
      const asked = await shell(script, {
        container: config,
        devices,
        security: { capabilities: { addCapabilities: ['MKNOD'] } },
      })
      assert.match(asked, /open/)
      assert.match(asked, /Operation not permitted/)
    })

    test('privileged: all capabilities we have, no masks, writable /sys, no seccomp, the devices of the host', async () => {
      const fuse = { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666 } as const
      const init = { pod: privilegedPod(), security: { privileged: true }, devices: new Map([['/dev/fuse', fuse]]) }
      const script =
        'grep -E "CapEff|Seccomp:" /proc/self/status; grep " /sys " /proc/mounts | cut -d" " -f4 | cut -c1-2; ls /dev/fuse; cat /proc/timer_list | wc -l'
      const text = await shell(script, init)
      assert.match(text, /CapEff:\t000001fffeffffff\nSeccomp:\t0\nrw\n\/dev\/fuse\n[1-9]/)
    })

    test('PID namespaces: own and the node’s', async () => {
      assert.equal(await shell('echo $$', { security: { namespaceOptions: { pid: 1 } } }), '1')
      assert.notEqual(await shell('echo $$', { security: { namespaceOptions: { pid: 2 } } }), '1')
    })

    test('network, IPC and UTS namespaces are the pod’s', async () => {
      const text = await shell('for n in net ipc uts; do readlink /proc/self/ns/$n; done')
      const { readlinkSync } = await import('node:fs')
      const { netnsPath, ipcnsPath, utsnsPath } = sandbox.pod
      const expected = [netnsPath, ipcnsPath, utsnsPath].map((path) => readlinkSync(path ?? ''))
      assert.deepEqual(text.split('\n'), expected)
    })

    test('H-43: descriptors are limited', async () => {
      assert.match(await shell('grep "open files" /proc/self/limits'), /1024 +20000/)
    })
  })
}
