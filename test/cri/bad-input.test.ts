// What callers get wrong: each answer has the right code and names the field, and leaves nothing behind.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import type { NamespaceMode } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { type ContainerInit, criSuite, type PodInit } from './suite.ts'

const BAD_IDS = ['', '../../etc', 'a/b', '/', '.', '..', 'x'.repeat(5000), 'a\nb', 'nul\u0000', 'ID WITH SPACES']
const MIB = 1 << 20

criSuite('bad input', (cri) => {
  afterEach(async () => {
    assert.deepEqual((await cri.runtime.listPodSandbox({})).items, [])
    assert.deepEqual(await cri.node.leaks(), [])
  })

  describe('ids', needs('invalidCodes'), () => {
    const calls: [string, (id: string) => Promise<unknown>][] = [
      ['PodSandboxStatus', (id) => cri.runtime.podSandboxStatus({ podSandboxId: id })],
      ['StopPodSandbox', (id) => cri.runtime.stopPodSandbox({ podSandboxId: id })],
      ['RemovePodSandbox', (id) => cri.runtime.removePodSandbox({ podSandboxId: id })],
      ['StartContainer', (id) => cri.runtime.startContainer({ containerId: id })],
      ['StopContainer', (id) => cri.runtime.stopContainer({ containerId: id })],
      ['RemoveContainer', (id) => cri.runtime.removeContainer({ containerId: id })],
      ['ContainerStatus', (id) => cri.runtime.containerStatus({ containerId: id })],
      ['ExecSync', (id) => cri.runtime.execSync({ containerId: id, cmd: ['true'] })],
      ['UpdateContainerResources', (id) => cri.runtime.updateContainerResources({ containerId: id, linux: {} })],
      ['ReopenContainerLog', (id) => cri.runtime.reopenContainerLog({ containerId: id })],
      ['UpdatePodSandboxResources', (id) => cri.runtime.updatePodSandboxResources({ podSandboxId: id })],
    ]
    for (const [name, call] of calls) {
      it(`${name} refuses an empty one, naming the field`, async () => {
        await failsWith('invalid_argument', call(''), /(pod_sandbox|container)_id/)
      })

      it(`${name} never takes one for a path`, async () => {
        for (const id of BAD_IDS.slice(1)) {
          // An id that cannot exist may also be simply unknown; Stop and Remove of the unknown succeed.
          const outcome = await call(id).then(
            () => 'ok',
            (err: { code?: string }) => err.code,
          )
          const allowed = /^(Stop|Remove)/.test(name)
            ? ['ok', 'invalid_argument', 'not_found']
            : ['invalid_argument', 'not_found']
          assert.ok(allowed.includes(outcome ?? ''), `${JSON.stringify(id.slice(0, 20))}: ${outcome}`)
        }
      })
    }
  })

  describe('RunPodSandbox', needs('metadataChecks'), () => {
    const metadata = { name: 'n', namespace: 'ns', uid: 'u', attempt: 0 }
    const table: [string, PodInit, RegExp][] = [
      ['an empty name', { metadata: { ...metadata, name: '' } }, /metadata\.name/],
      ['an empty namespace', { metadata: { ...metadata, namespace: '' } }, /metadata\.namespace/],
      ['an empty uid', { metadata: { ...metadata, uid: '' } }, /metadata\.uid/],
      ['a name that is a path', { metadata: { ...metadata, name: '../../up' } }, /metadata\.name/],
      ['a namespace that is a path', { metadata: { ...metadata, namespace: 'a/b' } }, /metadata\.namespace/],
      ['a uid that is a path', { metadata: { ...metadata, uid: '/' } }, /metadata\.uid/],
      ['a hostname that is too long', { hostname: 'h'.repeat(65) }, /hostname/],
      ['a hostname with a line feed', { hostname: 'a\nb' }, /hostname/],
      ['a relative log directory', { logDirectory: 'relative/logs' }, /log_directory/],
      ['a DNS server with a line feed', { dnsConfig: { servers: ['1.1.1.1\nsearch evil'] } }, /dns_config/],
      ['a DNS search with a space', { dnsConfig: { searches: ['a\nnameserver 6.6.6.6'] } }, /dns_config/],
      ['a host port out of range', { portMappings: [{ containerPort: 80, hostPort: 70_000 }] }, /port/],
      ['a container port out of range', { portMappings: [{ containerPort: -1, hostPort: 8080 }] }, /port/],
      ['a host IP that is none', { portMappings: [{ containerPort: 80, hostPort: 8080, hostIp: 'not-an-ip' }] }, /host_ip/],
      ['a cgroup parent that climbs', { linux: { cgroupParent: '/a/../../b' } }, /cgroup_parent/],
      ['network mode CONTAINER', { linux: { securityContext: { namespaceOptions: { network: 1, pid: 1 } } } }, /network/],
      ['an unknown namespace mode', { linux: { securityContext: { namespaceOptions: { pid: 99 as NamespaceMode } } } }, /pid/],
      ['PID mode TARGET', { linux: { securityContext: { namespaceOptions: { pid: 3, targetId: 'x' } } } }, /pid|target/],
      ['a group without a user', { linux: { securityContext: { runAsGroup: { value: 1n } } } }, /run_as_group/],
    ]
    for (const [what, change, pattern] of table) {
      it(`refuses ${what}`, async () => {
        await failsWith('invalid_argument', cri.pod(change), pattern)
      })
    }

    it('refuses a request without config, and one without metadata', async () => {
      await failsWith('invalid_argument', cri.runtime.runPodSandbox({}), /config/)
      await failsWith('invalid_argument', cri.runtime.runPodSandbox({ config: { linux: {} } }), /metadata/)
    })

    it('H-66: refuses an unknown runtime handler, naming those there are', async () => {
      await failsWith('invalid_argument', cri.pod({}, 'nosuch'), /runtime_handler.*nosuch.*runc/)
      await failsWith('invalid_argument', cri.pod({}, '../runc'), /runtime_handler/)
    })

    it('takes names that only look dangerous', async () => {
      const odd = { name: '-rf *', namespace: '%s\\n', uid: '$(reboot)', attempt: 4_294_967_295 }
      await using pod = await cri.pod({ metadata: odd })
      assert.equal((await pod.status()).metadata?.name, odd.name)
    })
  })

  describe('CreateContainer', needs('metadataChecks'), () => {
    const table: [string, ContainerInit, RegExp][] = [
      ['no metadata', { metadata: { name: '' } }, /metadata\.name/],
      ['no image', { image: { image: '' } }, /image/],
      ['a log path that climbs', { logPath: '../../../../etc/cron.d/x' }, /log_path/],
      ['an absolute log path', { logPath: '/etc/cron.d/x' }, /log_path/],
      ['a relative container path', { mounts: [{ containerPath: 'relative', hostPath: '/tmp' }] }, /container_path/],
      ['a relative host path', { mounts: [{ containerPath: '/x', hostPath: 'relative' }] }, /host_path/],
      ['a relative working directory', { workingDir: 'relative' }, /working_dir/],
      ['an argument with a zero byte', { command: ['sh', 'a\u0000b'] }, /command|args/],
      ['an environment name with =', { envs: [{ key: 'A=B', value: Buffer.from('x') }] }, /env/],
      ['an empty environment name', { envs: [{ key: '', value: Buffer.from('x') }] }, /env/],
      [
        'a device that is not there',
        { devices: [{ hostPath: '/dev/nosuch', containerPath: '/dev/x', permissions: 'rw' }] },
        /device/,
      ],
      [
        'device permissions that are none',
        { devices: [{ hostPath: '/dev/null', containerPath: '/dev/x', permissions: 'xyz' }] },
        /permissions/,
      ],
      [
        'a capability that is none',
        { linux: { securityContext: { capabilities: { addCapabilities: ['NOSUCH'] } } } },
        /capabilit/i,
      ],
      ['negative memory', { linux: { resources: { memoryLimitInBytes: -5n } } }, /memory/],
      ['a uid out of range', { linux: { securityContext: { runAsUser: { value: -1n } } } }, /run_as_user/],
      [
        'a PID target that is not a container',
        { linux: { securityContext: { namespaceOptions: { pid: 3, targetId: '../x' } } } },
        /target/,
      ],
    ]
    for (const [what, change, pattern] of table) {
      it(`refuses ${what}`, async () => {
        await using pod = await cri.pod()
        // What the request says wrongly, or what this node lacks for it.
        await failsWith(['invalid_argument', 'not_found', 'failed_precondition'], pod.create(change), pattern)
        assert.deepEqual((await cri.runtime.listContainers({})).containers, [])
      })
    }

    it('refuses a request without config, without a pod id', async () => {
      await using pod = await cri.pod()
      await failsWith('invalid_argument', cri.runtime.createContainer({ podSandboxId: pod.id }), /config/)
      const config = pod.containerConfig()
      await failsWith('invalid_argument', cri.runtime.createContainer({ config, sandboxConfig: pod.config }), /pod_sandbox_id/)
    })

    it('CVE-2026-53489: never writes a log through a symbolic link', async () => {
      await using pod = await cri.pod()
      const target = join(cri.node.world.pods, 'not-a-log')
      symlinkSync(target, join(pod.config.logDirectory, 'evil.log'))
      const outcome = await pod.run({ logPath: 'evil.log', command: ['echo', 'escaped'] }).then(
        async (container) => container.exited(),
        () => undefined,
      )
      assert.ok(!existsSync(target), `nothing was written through the link (${outcome?.reason ?? 'refused'})`)
    })

    it('CVE-2025-0750: never writes a log below a directory that is a symbolic link', async () => {
      await using pod = await cri.pod()
      const outside = join(cri.node.world.pods, cri.unique('outside-'))
      mkdirSync(outside)
      symlinkSync(outside, join(pod.config.logDirectory, 'sub'))
      writeFileSync(join(outside, 'kept'), '')
      await pod.run({ logPath: 'sub/0.log', command: ['echo', 'escaped'] }).then(
        (container) => container.exited(),
        () => undefined,
      )
      assert.ok(!existsSync(join(outside, '0.log')))
    })
  })

  describe('ExecSync', needs('invalidCodes'), () => {
    it('refuses an empty command, a negative timeout', async () => {
      await using pod = await cri.pod()
      const { id: containerId } = await pod.run()
      await failsWith('invalid_argument', cri.runtime.execSync({ containerId, cmd: [], timeout: 1n }), /cmd/)
      await failsWith('invalid_argument', cri.runtime.execSync({ containerId, cmd: ['true'], timeout: -1n }), /timeout/)
    })
  })

  describe('StopContainer', needs('invalidCodes'), () => {
    it('takes a negative timeout for none or refuses it', async () => {
      await using pod = await cri.pod()
      const { id: containerId } = await pod.run()
      await cri.runtime.stopContainer({ containerId, timeout: -1n }).catch((err: { code?: string }) => {
        assert.equal(err.code, 'invalid_argument')
      })
    })
  })

  describe('image references', needs('refuseBadReference'), () => {
    const bad = [
      ['empty', ''],
      ['upper case', '127.0.0.1:5000/Upper/case:1'],
      ['dots', '127.0.0.1:5000/../etc:1'],
      ['double slash', '127.0.0.1:5000//x:1'],
      ['a tag that is too long', `127.0.0.1:5000/x:${'t'.repeat(129)}`],
      ['a short digest', '127.0.0.1:5000/x@sha256:abcd'],
      ['an unknown algorithm', `127.0.0.1:5000/x@md5:${'0'.repeat(32)}`],
      ['a line feed', '127.0.0.1:5000/x\n:1'],
      ['a leading dash', '-v'],
      ['spaces', 'a b'],
      ['a megabyte', 'x'.repeat(MIB)],
    ] as const
    for (const [what, image] of bad) {
      it(`PullImage refuses: ${what}`, async () => {
        const start = performance.now()
        await failsWith('invalid_argument', cri.image.pullImage({ image: { image } }), /image/)
        assert.ok(performance.now() - start < 2_000)
      })
    }

    it('PullImage refuses an image id', async () => {
      await failsWith('invalid_argument', cri.image.pullImage({ image: { image: '0123456789abcdef'.repeat(4) } }), /image/)
    })

    it('every RPC of images refuses a request without one', async () => {
      await failsWith('invalid_argument', cri.image.pullImage({}), /image/)
      await failsWith('invalid_argument', cri.image.imageStatus({}), /image/)
      await failsWith('invalid_argument', cri.image.removeImage({}), /image/)
    })
  })

  describe('sizes', () => {
    it('a request of 10 MiB is taken', async () => {
      await using pod = await cri.pod({ annotations: { big: 'x'.repeat(200_000) } })
      const envs = Array.from({ length: 10 }, (_, n) => ({ key: `E${n}`, value: Buffer.alloc(MIB, 'x') }))
      // Too much for execve, not for the message: any answer but one about its size.
      const outcome = await pod.create({ envs }).then(
        () => 'ok',
        (err: { code?: string }) => err.code,
      )
      assert.notEqual(outcome, 'resource_exhausted')
    })

    it('a request above the limit is resource_exhausted, and the next call works', needs('invalidCodes'), async () => {
      const annotations = { huge: 'x'.repeat(100 * MIB) }
      await failsWith('resource_exhausted', cri.runtime.runPodSandbox({ config: cri.podConfig({ annotations }) }))
      await cri.runtime.version({})
    })

    it('many calls at once are all answered', async () => {
      const answers = await Promise.all(Array.from({ length: 500 }, () => cri.runtime.listPodSandbox({})))
      assert.equal(answers.length, 500)
    })
  })
})
