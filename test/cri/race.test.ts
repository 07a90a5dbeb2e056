// Calls that cross each other: whatever the order, the record and the machine agree, nothing hangs, nothing is left.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@coracle/base/errors'
import { ContainerState, PodSandboxState } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { type Cri, criSuite, type PodUnderTest } from './suite.ts'

/** Small, fast and repeatable (mulberry32): a failing run can be run again by its seed. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) % below
  }
}

// What a caller may be told when its calls cross: never `internal`, never `unknown`.
const expected = new Set([
  'not_found',
  'failed_precondition',
  'already_exists',
  'aborted',
  'deadline_exceeded',
  'canceled',
  'unavailable',
])
const tolerated = async (call: Promise<unknown>): Promise<void> => {
  await call.catch((err: unknown) => assert.ok(expected.has(codeOf(err)), `${codeOf(err)}: ${err}`))
}

criSuite('calls that cross', (cri) => {
  it('no container runs in a pod that is stopped', needs('notRunningCode'), async () => {
    for (let round = 0; round < 12; round++) {
      const pod = await cri.pod()
      const making = tolerated(pod.create().then((container) => container.start()))
      await sleep(round * 8)
      await pod.stop()
      await making
      const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
      for (const { state } of containers) assert.notEqual(state, ContainerState.CONTAINER_RUNNING)
      await pod.remove()
    }
    assert.deepEqual(await cri.node.leaks(), [])
  })

  it('a removal that crosses everything else wins in the end', needs('parallelRemove'), async () => {
    for (let round = 0; round < 8; round++) {
      const pod = await cri.pod()
      const container = await pod.run()
      const crossing = [container.exec(['sleep', '1']), container.stop(5), container.remove(), pod.stop(), pod.remove()]
      await Promise.all(crossing.map(tolerated))
      await tolerated(pod.stop())
      await pod.remove()
      const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
      assert.deepEqual(containers, [])
    }
  })

  describe('at random', needs('parallelRemove'), () => {
    const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000)
    it(`six clients on three pods, seed ${seed}`, async () => {
      const pods = await Promise.all([cri.pod(), cri.pod(), cri.pod()])
      const deadline = Date.now() + 15_000
      const clients = Array.from({ length: 6 }, (_, at) => client(cri, pods, { pick: random(seed + at), deadline }))
      await Promise.all(clients)
      for (const pod of pods) await agree(cri, pod)
      await cri.node.clear()
    })
  })
})

interface Errand {
  readonly pick: (below: number) => number
  readonly deadline: number
}

/** Makes one call after the other, each on a pod and container of its choice. */
async function client(cri: Cri, pods: readonly PodUnderTest[], { pick, deadline }: Errand): Promise<void> {
  while (Date.now() < deadline) {
    const pod = pods[pick(pods.length)]
    if (!pod) continue
    const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
    const containerId = containers[pick(Math.max(1, containers.length))]?.id
    const onPod = [() => pod.create(), () => pod.run(), () => pod.status()]
    const onContainer = containerId
      ? [
          () => cri.runtime.startContainer({ containerId }),
          () => cri.runtime.stopContainer({ containerId, timeout: BigInt(pick(2)) }),
          () => cri.runtime.removeContainer({ containerId }),
          () => cri.runtime.containerStatus({ containerId, verbose: true }),
          () => cri.runtime.execSync({ containerId, cmd: ['echo', 'x'], timeout: 5n }),
          () => cri.runtime.updateContainerResources({ containerId, linux: { cpuShares: BigInt(100 + pick(900)) } }),
          () => cri.runtime.reopenContainerLog({ containerId }),
        ]
      : []
    const calls = containers.length > 5 ? onContainer : [...onPod, ...onContainer]
    const call = calls[pick(calls.length)]
    if (call) await tolerated(call())
  }
}

/** List and status tell the same, and every container that is said to run answers. */
async function agree(cri: Cri, pod: PodUnderTest): Promise<void> {
  assert.equal((await pod.status()).state, PodSandboxState.SANDBOX_READY)
  const { containers } = await cri.runtime.listContainers({ filter: { podSandboxId: pod.id } })
  for (const { id: containerId, state } of containers) {
    const { status } = await cri.runtime.containerStatus({ containerId })
    assert.equal(status?.state, state)
    if (state === ContainerState.CONTAINER_RUNNING) {
      const { exitCode } = await cri.runtime.execSync({ containerId, cmd: ['true'], timeout: 10n })
      assert.equal(exitCode, 0)
    }
  }
}
