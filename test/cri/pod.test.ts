// RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, ListPodSandbox, StreamPodSandboxes.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ContainerState, NamespaceMode, PodSandboxState } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { assertRecent, collect, failsWith } from './expect.ts'
import { criSuite } from './suite.ts'

const READY = PodSandboxState.SANDBOX_READY
const NOT_READY = PodSandboxState.SANDBOX_NOTREADY
const UNKNOWN_ID = '0123456789abcdef'.repeat(4)

/** Text that a careless encoder changes. */
const awkward = {
  'example.com/json': '{"a": [1, 2],\n "b": "\\"quoted\\""}',
  'example.com/empty': '',
  'example.com/unicode': 'čoracle ⛵ \u2028 \u0000 end',
  'example.com/long': 'x'.repeat(20_000),
}

criSuite('pods', (cri) => {
  describe('RunPodSandbox', () => {
    it('makes a ready pod with all that kubelet reads of it', async () => {
      await using pod = await cri.pod()
      assert.match(pod.id, /^[0-9a-f]{64}$/)
      const status = await pod.status()
      assert.equal(status.id, pod.id)
      assert.equal(status.state, READY)
      assertRecent(status.createdAt)
      assert.ok(status.network?.ip.startsWith(cri.node.world.subnetPrefix), `an address of ours: ${status.network?.ip}`)
      assert.deepEqual(status.network?.additionalIps, [])
      assert.equal(status.linux?.namespaces?.options?.network, NamespaceMode.POD)
      assert.equal(status.runtimeHandler, '')
    })

    it('echoes metadata, labels and annotations byte for byte', async () => {
      const metadata = { name: 'echo.pod-1', namespace: 'n-s', uid: 'a:b c"d\\e', attempt: 7 }
      const labels = { 'io.kubernetes.pod.name': 'echo', 'x/empty': '', 'x/odd': 'ä b' }
      await using pod = await cri.pod({ metadata, labels, annotations: awkward })
      const status = await pod.status()
      const { items } = await cri.runtime.listPodSandbox({ filter: { id: pod.id } })
      for (const seen of [status, items[0]]) {
        assert.ok(seen)
        const { $typeName: _, ...seenMetadata } = seen.metadata ?? { $typeName: '' }
        assert.deepEqual(seenMetadata, metadata)
        assert.deepEqual({ ...seen.labels }, labels)
        assert.deepEqual({ ...seen.annotations }, awkward)
      }
    })

    it('echoes the namespace options of the request', async () => {
      const options = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD, targetId: '' }
      await using pod = await cri.pod({ linux: { securityContext: { namespaceOptions: options } } })
      const seen = (await pod.status()).linux?.namespaces?.options
      assert.equal(seen?.pid, NamespaceMode.CONTAINER)
      assert.equal(seen?.network, NamespaceMode.POD)
      assert.equal(seen?.ipc, NamespaceMode.POD)
    })

    it('echoes the runtime handler', async () => {
      await using pod = await cri.pod({}, 'runc')
      assert.equal((await pod.status()).runtimeHandler, 'runc')
      const { items } = await cri.runtime.listPodSandbox({ filter: { id: pod.id } })
      assert.equal(items[0]?.runtimeHandler, 'runc')
    })

    it('refuses a second pod of the same name, namespace, uid and attempt', async () => {
      await using pod = await cri.pod()
      const again = cri.runtime.runPodSandbox({ config: pod.config })
      await assert.rejects(again)
      const { items } = await cri.runtime.listPodSandbox({})
      assert.equal(items.filter(({ metadata }) => metadata?.name === pod.config.metadata?.name).length, 1)
    })

    it('says already_exists for it', needs('duplicateCode'), async () => {
      await using pod = await cri.pod()
      await failsWith('already_exists', cri.runtime.runPodSandbox({ config: pod.config }), /./)
    })

    it('takes the same name with another attempt, uid or namespace', async () => {
      await using pod = await cri.pod()
      const base = { name: '', namespace: '', uid: '', attempt: 0, ...pod.config.metadata }
      await using next = await cri.pod({ metadata: { ...base, attempt: 1 } })
      await using other = await cri.pod({ metadata: { ...base, uid: 'other' } })
      await using elsewhere = await cri.pod({ metadata: { ...base, namespace: 'elsewhere' } })
      assert.equal(new Set([pod.id, next.id, other.id, elsewhere.id]).size, 4)
    })

    it('takes the name again once the first is removed', async () => {
      const config = cri.podConfig()
      for (let round = 0; round < 2; round++) {
        await using pod = await cri.pod(config)
        assert.equal((await pod.status()).state, READY)
      }
    })

    it('runs several pods at once', async () => {
      const pods = await Promise.all(Array.from({ length: 4 }, () => cri.pod()))
      const ips = await Promise.all(pods.map((pod) => pod.ip()))
      assert.equal(new Set(ips).size, 4)
      await Promise.all(pods.map((pod) => pod[Symbol.asyncDispose]()))
    })
  })

  describe('StopPodSandbox', () => {
    it('leaves the pod NOTREADY and its containers exited', async () => {
      await using pod = await cri.pod()
      const container = await pod.run()
      await pod.stop()
      const status = await pod.status()
      assert.equal(status.state, NOT_READY)
      const { state, exitCode } = await container.status()
      assert.equal(state, ContainerState.CONTAINER_EXITED)
      assert.equal(exitCode, 137)
    })

    it('gives the address back before it returns', async () => {
      await using pod = await cri.pod()
      await pod.stop()
      const leases = (await cri.node.leaks()).filter((line) => line.startsWith('IPAM lease'))
      assert.deepEqual(leases, [])
    })

    it('is idempotent', async () => {
      await using pod = await cri.pod()
      await pod.run()
      await pod.stop()
      await pod.stop()
      assert.equal((await pod.status()).state, NOT_READY)
    })

    it('is so side by side', needs('parallelStop'), async () => {
      await using pod = await cri.pod()
      await pod.run()
      await Promise.all([pod.stop(), pod.stop(), pod.stop()])
      await pod.stop()
      assert.equal((await pod.status()).state, NOT_READY)
    })

    it('succeeds for an unknown id', needs('stopOfUnknown'), async () => {
      await cri.runtime.stopPodSandbox({ podSandboxId: UNKNOWN_ID })
    })
  })

  describe('RemovePodSandbox', () => {
    it('makes the id unknown', async () => {
      const pod = await cri.pod()
      await pod.stop()
      await pod.remove()
      await failsWith('not_found', cri.runtime.podSandboxStatus({ podSandboxId: pod.id }))
      const { items } = await cri.runtime.listPodSandbox({ filter: { id: pod.id } })
      assert.deepEqual(items, [])
    })

    it('stops a running pod first and takes its containers with it', async () => {
      const pod = await cri.pod()
      const running = await pod.run()
      const created = await pod.create()
      await pod.remove()
      for (const { id } of [running, created]) {
        await failsWith('not_found', cri.runtime.containerStatus({ containerId: id }))
      }
      const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
      assert.deepEqual(containers, [])
    })

    it('is idempotent and succeeds for an unknown id', async () => {
      const pod = await cri.pod()
      await pod.remove()
      await pod.remove()
      await cri.runtime.removePodSandbox({ podSandboxId: UNKNOWN_ID })
    })
  })

  describe('PodSandboxStatus', () => {
    it('answers NotFound for an unknown id', async () => {
      await failsWith('not_found', cri.runtime.podSandboxStatus({ podSandboxId: UNKNOWN_ID }))
    })

    it('gives info as JSON values when asked verbosely, none otherwise', async () => {
      await using pod = await cri.pod()
      const quiet = await cri.runtime.podSandboxStatus({ podSandboxId: pod.id })
      assert.deepEqual(quiet.info, {})
      const { info } = await cri.runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true })
      assert.ok(Object.keys(info).length > 0)
      for (const value of Object.values(info)) assert.doesNotThrow(() => JSON.parse(value))
    })

    it(
      'has the statuses of all containers, the newest first, as evented kubelets read them',
      needs('podContainers'),
      async () => {
        await using pod = await cri.pod()
        const ids: string[] = []
        for (const attempt of [0, 1, 2]) {
          const { id } = await pod.create({ metadata: { name: 'c', attempt } })
          ids.unshift(id)
        }
        const { containersStatuses, timestamp } = await cri.runtime.podSandboxStatus({ podSandboxId: pod.id })
        assert.deepEqual(
          containersStatuses.map(({ id }) => id),
          ids,
        )
        assert.ok(timestamp > (containersStatuses[0]?.createdAt ?? 0n))
      },
    )

    it('keeps id, metadata and time when the pod is stopped', async () => {
      await using pod = await cri.pod()
      const before = await pod.status()
      await pod.stop()
      const after = await pod.status()
      assert.equal(after.createdAt, before.createdAt)
      assert.deepEqual(after.metadata, before.metadata)
      assert.ok(after.network, 'kubelet reads network of a stopped pod too')
    })
  })

  describe('ListPodSandbox', () => {
    it('filters by id, prefix of an id, state and labels; all must hold', async () => {
      await using red = await cri.pod({ labels: { colour: 'red', shape: 'round' } })
      await using blue = await cri.pod({ labels: { colour: 'blue', shape: 'round' } })
      await blue.stop()
      type Filter = { id?: string; state?: { state: PodSandboxState }; labelSelector?: Record<string, string> }
      const ids = async (filter: Filter) => {
        const { items } = await cri.runtime.listPodSandbox({ filter })
        return items.map(({ id }) => id).sort()
      }
      assert.deepEqual(await ids({ id: red.id }), [red.id])
      assert.deepEqual(await ids({ id: red.id.slice(0, 24) }), [red.id])
      assert.deepEqual(await ids({ labelSelector: { shape: 'round' } }), [red.id, blue.id].sort())
      assert.deepEqual(await ids({ labelSelector: { shape: 'round', colour: 'blue' } }), [blue.id])
      assert.deepEqual(await ids({ labelSelector: { shape: 'round', colour: 'green' } }), [])
      assert.deepEqual(await ids({ labelSelector: { shape: 'round' }, state: { state: READY } }), [red.id])
      assert.deepEqual(await ids({ labelSelector: { shape: 'round' }, state: { state: NOT_READY } }), [blue.id])
      assert.deepEqual(await ids({ id: red.id, state: { state: NOT_READY } }), [])
      assert.deepEqual(await ids({ id: UNKNOWN_ID }), [])
    })

    it('lists all without a filter', async () => {
      await using one = await cri.pod()
      await using two = await cri.pod()
      const { items } = await cri.runtime.listPodSandbox({})
      const ids = new Set(items.map(({ id }) => id))
      assert.ok(ids.has(one.id) && ids.has(two.id))
    })
  })

  describe('StreamPodSandboxes', needs('streams'), () => {
    it('gives the list, each pod once', async () => {
      const pods = await Promise.all(Array.from({ length: 3 }, () => cri.pod({ labels: { streamed: 'yes' } })))
      const filter = { labelSelector: { streamed: 'yes' } }
      const messages = await collect(cri.runtime.streamPodSandboxes({ filter }))
      for (const message of messages) assert.ok(message.podSandboxes.length >= 1)
      const streamed = messages.flatMap((message) => message.podSandboxes)
      const { items } = await cri.runtime.listPodSandbox({ filter })
      const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
      assert.deepEqual(streamed.sort(byId), items.sort(byId))
      assert.equal(streamed.length, 3)
      await Promise.all(pods.map((pod) => pod[Symbol.asyncDispose]()))
    })

    it('ends without a message when nothing matches', async () => {
      const messages = await collect(cri.runtime.streamPodSandboxes({ filter: { id: UNKNOWN_ID } }))
      assert.deepEqual(
        messages.flatMap((message) => message.podSandboxes),
        [],
      )
    })
  })
})
