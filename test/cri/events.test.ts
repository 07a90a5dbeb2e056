// GetContainerEvents: complete, in order, with the statuses after each change.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type ContainerEventResponse, ContainerEventType, ContainerState, PodSandboxState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { type Cri, criSuite } from './suite.ts'

const words = {
  [ContainerEventType.CONTAINER_CREATED_EVENT]: 'created',
  [ContainerEventType.CONTAINER_STARTED_EVENT]: 'started',
  [ContainerEventType.CONTAINER_STOPPED_EVENT]: 'stopped',
  [ContainerEventType.CONTAINER_DELETED_EVENT]: 'deleted',
}

class Listener implements AsyncDisposable {
  readonly seen: ContainerEventResponse[] = []
  readonly atMs: number[] = []
  readonly #caller = new AbortController()
  readonly #done: Promise<unknown>

  private constructor(cri: Cri) {
    this.#done = this.#listen(cri).catch((err: unknown) => err)
  }

  /** Listening when it resolves. */
  static async open(cri: Cri): Promise<Listener> {
    const listener = new Listener(cri)
    // The stream says nothing before the first event: make some until one comes.
    await eventually('events come', async () => {
      await using _pod = await cri.pod()
      return listener.seen.length > 0
    })
    await eventually('no more come', async () => {
      const count = listener.seen.length
      await new Promise((resolve) => setTimeout(resolve, 200))
      return listener.seen.length === count
    })
    listener.seen.length = 0
    listener.atMs.length = 0
    return listener
  }

  async #listen(cri: Cri): Promise<void> {
    for await (const event of cri.runtime.getContainerEvents({}, { signal: this.#caller.signal })) {
      this.seen.push(event)
      this.atMs.push(performance.now())
    }
  }

  story(names: Readonly<Record<string, string>>): string[] {
    return this.seen.map(({ containerId, containerEventType }) => `${names[containerId] ?? '?'} ${words[containerEventType]}`)
  }

  count(count: number): Promise<true> {
    return eventually(`${count} events come`, () => this.seen.length >= count)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#caller.abort()
    await this.#done
  }
}

criSuite('events', (cri) => {
  describe('GetContainerEvents', needs('events'), () => {
    it('tells the whole story of a pod in order, with the statuses after each change', async () => {
      await using listener = await Listener.open(cri)
      const pod = await cri.pod()
      const container = await pod.run({ command: ['sh', '-c', 'exit 3'] })
      await container.exited()
      await container.remove()
      await pod.stop()
      await pod.remove()
      await listener.count(8)
      assert.deepEqual(listener.story({ [pod.id]: 'pod', [container.id]: 'container' }), [
        'pod created',
        'pod started',
        'container created',
        'container started',
        'container stopped',
        'container deleted',
        'pod stopped',
        'pod deleted',
      ])
      let last = 0n
      for (const { createdAt, podSandboxStatus } of listener.seen) {
        assert.ok(createdAt > last)
        last = createdAt
        assert.equal(podSandboxStatus?.id, pod.id)
      }
      const statuses = listener.seen.map(({ containersStatuses }) => containersStatuses.map(({ state }) => state))
      assert.deepEqual(statuses.slice(2, 6), [
        [ContainerState.CONTAINER_CREATED],
        [ContainerState.CONTAINER_RUNNING],
        [ContainerState.CONTAINER_EXITED],
        [],
      ])
      assert.equal(listener.seen[4]?.containersStatuses[0]?.exitCode, 3)
      assert.equal(listener.seen[6]?.podSandboxStatus?.state, PodSandboxState.SANDBOX_NOTREADY)
    })

    it('tells each listener the same, with every container of the pod', async () => {
      await using one = await Listener.open(cri)
      await using two = await Listener.open(cri)
      await eventually('both are quiet', async () => {
        one.seen.length = 0
        two.seen.length = 0
        await new Promise((resolve) => setTimeout(resolve, 300))
        return one.seen.length === 0
      })
      await using pod = await cri.pod()
      await pod.run()
      await pod.run()
      await Promise.all([one.count(6), two.count(6)])
      assert.deepEqual(one.seen, two.seen)
      assert.equal(one.seen.at(-1)?.containersStatuses.length, 2)
    })

    it('tells of a container that could not be started', async () => {
      await using listener = await Listener.open(cri)
      await using pod = await cri.pod()
      const container = await pod.create({ command: ['/no/such/program'] })
      await container.start().catch(() => undefined)
      await listener.count(4)
      assert.deepEqual(listener.story({ [pod.id]: 'pod', [container.id]: 'container' }).slice(2), [
        'container created',
        'container stopped',
      ])
      assert.equal(listener.seen.at(-1)?.containersStatuses[0]?.reason, 'StartError')
    })

    it('comes after the lists show it, and soon', async (test) => {
      await using listener = await Listener.open(cri)
      await using pod = await cri.pod()
      const delays: number[] = []
      for (let round = 0; round < 10; round++) {
        const container = await pod.run({ command: ['sh', '-c', 'read x'], stdin: true })
        listener.seen.length = 0
        await container.exec(['kill', '-9', '1']).catch(() => undefined)
        await container.stop()
        await listener.count(1)
        const event = listener.seen[0]
        assert.equal(event?.containerId, container.id)
        const status = event?.containersStatuses.find(({ id }) => id === container.id)
        delays.push(Number((event?.createdAt ?? 0n) - (status?.finishedAt ?? 0n)) / 1e6)
        assert.equal((await container.status()).state, ContainerState.CONTAINER_EXITED)
        await container.remove()
      }
      const sorted = delays.toSorted((a, b) => a - b)
      test.diagnostic(`from the end to its event: ${sorted.map((ms) => ms.toFixed(1)).join(' ')} ms`)
      assert.ok((sorted[0] ?? Number.POSITIVE_INFINITY) < 20)
    })

    it("a stream ends with its caller's time, and says so", async () => {
      const listening = async () => {
        for await (const _event of cri.runtime.getContainerEvents({}, { timeoutMs: 1000 }));
      }
      await failsWith('deadline_exceeded', listening())
    })

    it('a listener that leaves harms nobody', async () => {
      await using staying = await Listener.open(cri)
      {
        await using _leaving = await Listener.open(cri)
      }
      staying.seen.length = 0
      await using pod = await cri.pod()
      await eventually('events still come', () => staying.seen.some(({ containerId }) => containerId === pod.id))
    })
  })
})
