// CreateContainer, StartContainer, StopContainer, RemoveContainer, ContainerStatus, ListContainers, StreamContainers.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ContainerState } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { assertRecent, collect, failsWith } from './expect.ts'
import { criSuite } from './suite.ts'

const { CONTAINER_CREATED: CREATED, CONTAINER_RUNNING: RUNNING, CONTAINER_EXITED: EXITED } = ContainerState
const UNKNOWN_ID = '0123456789abcdef'.repeat(4)

criSuite('containers', (cri) => {
  describe('CreateContainer', () => {
    it('makes a container in state CREATED, its times zero', async () => {
      await using pod = await cri.pod()
      const container = await pod.create()
      assert.match(container.id, /^[0-9a-f]{64}$/)
      const status = await container.status()
      assert.equal(status.state, CREATED)
      assertRecent(status.createdAt)
      assert.equal(status.startedAt, 0n)
      assert.equal(status.finishedAt, 0n)
      assert.equal(status.exitCode, 0)
    })

    it('echoes what it was given byte for byte', async () => {
      await using pod = await cri.pod()
      const labels = { 'io.kubernetes.container.name': 'echo', empty: '' }
      const annotations = { 'io.kubernetes.container.hash': 'f00', odd: 'a\n"b"\u0000ü' }
      const metadata = { name: 'echo', attempt: 3 }
      const container = await pod.create({ metadata, labels, annotations })
      const status = await container.status()
      const { containers } = await cri.runtime.listContainers({ filter: { id: container.id } })
      for (const seen of [status, containers[0]]) {
        assert.ok(seen)
        assert.equal(seen.metadata?.name, 'echo')
        assert.equal(seen.metadata?.attempt, 3)
        assert.deepEqual({ ...seen.labels }, labels)
        assert.deepEqual({ ...seen.annotations }, annotations)
      }
      assert.equal(status.logPath, container.logFile)
      assert.equal(containers[0]?.podSandboxId, pod.id)
    })

    it('reports the mounts of the request', async () => {
      await using pod = await cri.pod()
      const mount = { containerPath: '/mnt/x', hostPath: cri.node.world.pods, readonly: true }
      const { mounts } = await (await pod.create({ mounts: [mount] })).status()
      assert.equal(mounts.length, 1)
      assert.equal(mounts[0]?.containerPath, '/mnt/x')
      assert.equal(mounts[0]?.hostPath, cri.node.world.pods)
      assert.equal(mounts[0]?.readonly, true)
    })

    it('names the image by one identifier everywhere', needs('imageId'), async () => {
      const image = cri.images.busybox
      const { imageRef } = await cri.image.pullImage({ image: { image } })
      await using pod = await cri.pod()
      const container = await pod.create({ image: { image: imageRef, userSpecifiedImage: image } })
      const status = await container.status()
      const { containers } = await cri.runtime.listContainers({ filter: { id: container.id } })
      const { image: known } = await cri.image.imageStatus({ image: { image } })
      assert.equal(known?.id, imageRef)
      assert.equal(status.imageId, imageRef)
      assert.equal(containers[0]?.imageId, imageRef)
      assert.notEqual(status.imageRef, '')
      assert.notEqual(status.image?.image, '')
    })

    it('refuses a second container of the same name and attempt in the pod, takes another attempt', async () => {
      await using pod = await cri.pod()
      const first = await pod.create({ metadata: { name: 'twin', attempt: 0 } })
      await assert.rejects(pod.create({ metadata: { name: 'twin', attempt: 0 } }))
      const next = await pod.create({ metadata: { name: 'twin', attempt: 1 } })
      assert.notEqual(next.id, first.id)
      await first.remove()
      await pod.create({ metadata: { name: 'twin', attempt: 0 } })
    })

    it('says already_exists for it', needs('duplicateCode'), async () => {
      await using pod = await cri.pod()
      await pod.create({ metadata: { name: 'twin', attempt: 0 } })
      await failsWith('already_exists', pod.create({ metadata: { name: 'twin', attempt: 0 } }))
    })

    it('refuses a pod that is unknown, and one that is stopped', async () => {
      await using pod = await cri.pod()
      const config = pod.containerConfig()
      await failsWith('not_found', cri.runtime.createContainer({ podSandboxId: UNKNOWN_ID, config, sandboxConfig: pod.config }))
      await pod.stop()
      await assert.rejects(pod.create())
      const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
      assert.deepEqual(containers, [])
    })

    it('says failed_precondition for a stopped pod', needs('notRunningCode'), async () => {
      await using pod = await cri.pod()
      await pod.stop()
      await failsWith('failed_precondition', pod.create(), /pod/)
    })

    it('refuses an image that is not here', async () => {
      await using pod = await cri.pod()
      await failsWith('not_found', pod.create({ image: { image: `${cri.registry.host}/test/absent:1` } }), /absent/)
    })
  })

  describe('StartContainer', () => {
    it('runs it; the log file is there when it returns', async () => {
      await using pod = await cri.pod()
      const container = await pod.create()
      await container.start()
      assert.ok(existsSync(container.logFile))
      const status = await container.status()
      assert.equal(status.state, RUNNING)
      assert.ok(status.startedAt >= status.createdAt)
      assertRecent(status.startedAt)
      assert.equal(status.finishedAt, 0n)
    })

    it('refuses what does not run from CREATED', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await assert.rejects(container.start())
      await container.stop(0)
      await assert.rejects(container.start())
    })

    it('says failed_precondition for it', needs('notRunningCode'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await failsWith('failed_precondition', container.start(), /running/)
    })

    it('answers NotFound for an unknown id', async () => {
      await failsWith('not_found', cri.runtime.startContainer({ containerId: UNKNOWN_ID }))
    })
  })

  describe('StopContainer', () => {
    it('is idempotent, and succeeds for created and exited ones', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await container.stop(0)
      await container.stop(0)
      await container.stop(10)
      assert.equal((await container.status()).state, EXITED)
    })

    it('succeeds for an unknown id', needs('stopOfUnknown'), async () => {
      await cri.runtime.stopContainer({ containerId: UNKNOWN_ID })
    })

    it('takes a container that was never started', needs('notRunningCode'), async () => {
      await using pod = await cri.pod()
      const container = await pod.create()
      await container.stop(0)
      await container.remove()
    })
  })

  describe('RemoveContainer', () => {
    it('makes the id unknown and leaves the log to its owner', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['echo', 'kept'] })
      await container.exited()
      await container.remove()
      await failsWith('not_found', cri.runtime.containerStatus({ containerId: container.id }))
      assert.equal(container.output(), 'kept\n')
    })

    it('kills a running one first, takes a created one', async () => {
      await using pod = await cri.pod()
      await (await pod.run()).remove()
      await (await pod.create()).remove()
      const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
      assert.deepEqual(containers, [])
    })

    it('is idempotent and succeeds for an unknown id', async () => {
      await using pod = await cri.pod()
      const container = await pod.create()
      await container.remove()
      await container.remove()
      await cri.runtime.removeContainer({ containerId: UNKNOWN_ID })
    })

    it('is so side by side', needs('parallelRemove'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await Promise.all([container.remove(), container.remove(), container.stop(0)])
      await failsWith('not_found', cri.runtime.containerStatus({ containerId: container.id }))
    })

    it('leaves the other containers of the pod alone', async () => {
      await using pod = await cri.pod()
      const one = await pod.run()
      const two = await pod.run()
      await one.remove()
      assert.equal(await two.sh('echo alive'), 'alive')
    })
  })

  describe('ContainerStatus', () => {
    it('answers NotFound for an unknown id', async () => {
      await failsWith('not_found', cri.runtime.containerStatus({ containerId: UNKNOWN_ID }))
    })

    it('gives info as JSON values when asked verbosely, none otherwise', async () => {
      await using pod = await cri.pod()
      const { id: containerId } = await pod.run()
      assert.deepEqual((await cri.runtime.containerStatus({ containerId })).info, {})
      const { info } = await cri.runtime.containerStatus({ containerId, verbose: true })
      assert.ok(Object.keys(info).length > 0)
      for (const value of Object.values(info)) assert.doesNotThrow(() => JSON.parse(value))
    })

    it('has in its information what scripts for other runtimes look for', async () => {
      await using pod = await cri.pod()
      const linux = { resources: { memoryLimitInBytes: 64n << 20n }, securityContext: { readonlyRootfs: true } }
      const container = await pod.run({ envs: [{ key: 'A', value: Buffer.from('b') }], labels: { camelCase: 'kept' }, linux })
      const { info } = await cri.runtime.containerStatus({ containerId: container.id, verbose: true })
      const told = JSON.parse(info['info'] ?? '')
      assert.equal(readFileSync(`/proc/${told.pid}/comm`, 'utf8'), 'sleep\n')
      assert.equal(told.sandboxID, pod.id)
      assert.equal(told.config.log_path, container.config.logPath)
      assert.equal(told.config.linux.security_context.readonly_rootfs, true)
      assert.equal(told.config.linux.resources.memory_limit_in_bytes, 64 << 20)
      assert.equal(told.config.labels.camelCase, 'kept')
      assert.deepEqual(told.runtimeSpec.process.args, ['sleep', '10000'])
      assert.ok(told.runtimeSpec.process.env.includes('A=b'))
      assert.equal(told.runtimeSpec.linux.resources.memory.limit, 64 << 20)
      const sandbox = await cri.runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true })
      const ofPod = JSON.parse(sandbox.info['info'] ?? '')
      assert.equal(ofPod.config.log_directory, pod.config.logDirectory)
      const network = (spec: { linux: { namespaces: { type: string; path?: string }[] } }) =>
        spec.linux.namespaces.find(({ type }) => type === 'network')?.path ?? ''
      assert.equal(statSync(network(ofPod.runtimeSpec)).ino, statSync(`/proc/${told.pid}/ns/net`).ino)
      assert.equal(statSync(network(told.runtimeSpec)).ino, statSync(`/proc/${told.pid}/ns/net`).ino)
    })

    it('tells the user in effect', needs('containerUser'), async () => {
      const { imageRef } = await cri.image.pullImage({ image: { image: cri.images.userName } })
      await using pod = await cri.pod()
      const { user } = await (await pod.run({ image: { image: imageRef } })).status()
      assert.equal(user?.linux?.uid, 1234n)
      assert.equal(user?.linux?.gid, 1235n)
      assert.deepEqual(
        user?.linux?.supplementalGroups.toSorted((a, b) => Number(a - b)),
        [1235n, 4000n],
      )
    })
  })

  describe('ListContainers', () => {
    it('filters by id, prefix, pod, state and labels; all must hold', async () => {
      await using pod = await cri.pod()
      await using other = await cri.pod()
      const created = await pod.create({ labels: { kind: 'x', n: '1' } })
      const running = await pod.run({ labels: { kind: 'x', n: '2' } })
      const exited = await other.run({ labels: { kind: 'x', n: '3' }, command: ['true'] })
      await exited.exited()
      type Filter = {
        id?: string
        podSandboxId?: string
        state?: { state: ContainerState }
        labelSelector?: Record<string, string>
      }
      const ids = async (filter: Filter) => {
        const { containers } = await cri.runtime.listContainers({ filter })
        return containers.map(({ id }) => id).sort()
      }
      const labelSelector = { kind: 'x' }
      assert.deepEqual(await ids({ labelSelector }), [created.id, running.id, exited.id].sort())
      assert.deepEqual(await ids({ labelSelector: { kind: 'x', n: '2' } }), [running.id])
      assert.deepEqual(await ids({ labelSelector, state: { state: CREATED } }), [created.id])
      assert.deepEqual(await ids({ labelSelector, state: { state: RUNNING } }), [running.id])
      assert.deepEqual(await ids({ labelSelector, state: { state: EXITED } }), [exited.id])
      assert.deepEqual(await ids({ podSandboxId: pod.id }), [created.id, running.id].sort())
      assert.deepEqual(await ids({ podSandboxId: pod.id.slice(0, 20), labelSelector: { n: '1' } }), [created.id])
      assert.deepEqual(await ids({ id: running.id.slice(0, 20) }), [running.id])
      assert.deepEqual(await ids({ id: running.id, podSandboxId: other.id }), [])
      assert.deepEqual(await ids({ id: UNKNOWN_ID }), [])
    })
  })

  describe('StreamContainers', needs('streams'), () => {
    it('gives the list, each container once', async () => {
      await using pod = await cri.pod()
      for (let n = 0; n < 3; n++) await pod.create()
      const filter = { podSandboxId: pod.id }
      const messages = await collect(cri.runtime.streamContainers({ filter }))
      for (const message of messages) assert.ok(message.containers.length >= 1)
      const { containers } = await cri.runtime.listContainers({ filter })
      const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
      assert.deepEqual(messages.flatMap((message) => message.containers).sort(byId), containers.sort(byId))
      assert.equal(containers.length, 3)
    })
  })
})
