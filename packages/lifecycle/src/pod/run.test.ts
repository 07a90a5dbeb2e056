import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { CodedError, explain } from '@coracle/base/errors'
import { eventually } from '@coracle/testkit/eventually'
import { containerConfig, podConfig, type TestMachine, type TestServices, testServices } from '@coracle/testkit/services'
import { createContainer } from '../container/create.ts'
import { startContainer } from '../container/start.ts'
import { removePod } from './remove.ts'
import { runPod } from './run.ts'
import { stopPod } from './stop.ts'

const never = new AbortController().signal

test('a pod runs, holds a container, and leaves nothing', async () => {
  await using node = testServices()
  const { services, machine } = node
  const id = await runPod(services, { config: podConfig('a'), handler: '', fingerprint: 'f' }, never)
  assert.equal(services.pods.get(id).state.kind, 'ready')
  const c = await createContainer(services, { podId: id, config: containerConfig('c'), fingerprint: 'f' }, never)
  await startContainer(services, c, never)
  assert.equal(services.containers.get(c).state.kind, 'running')
  await removePod(services, id)
  assert.equal(services.pods.size, 0)
  assert.equal(services.containers.size, 0)
  assert.deepEqual([...machine.host.mountTargets.keys()], [])
})

test('an annotation that no plugin could be told is refused before anything is made', async () => {
  await using node = testServices()
  const { services, machine } = node
  const config = podConfig('a', { annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' } })
  await assert.rejects(runPod(services, { config, handler: '', fingerprint: 'f' }, never), {
    code: 'invalid_argument',
    message: /ingress-bandwidth "fast" must be a quantity/,
  })
  assert.equal(services.pods.size, 0)
  assert.deepEqual(machine.cni.calls, [])
})

/** Nothing of any pod is on the machine. */
async function assertBare({ machine, services }: TestServices): Promise<void> {
  await turn()
  const { host, runtime, cni, images } = machine
  assert.deepEqual(
    [...host.pins.keys(), ...host.mountTargets.keys(), ...runtime.ids, ...cni.attached, ...images.rootfsKeys()],
    [],
  )
  assert.deepEqual([...host.cgroupPaths], [])
  assert.deepEqual([services.podLocks.size, services.podFlights.size, services.exits.size], [0, 0, 0])
}

const sharedPid = podConfig('a', { linux: { securityContext: { namespaceOptions: { pid: 0 } } } })

for (const [step, fail] of Object.entries({
  'mount of shared memory': ({ host }: TestMachine) => host.failNext('mounts.mount', new Error('broken')),
  cgroup: ({ host }: TestMachine) => host.failNext('cgroups.ensure', new Error('broken')),
  namespaces: ({ host }: TestMachine) => host.failNext('namespaces.pin', new Error('broken')),
  network: ({ cni }: TestMachine) => cni.failNext('add', new CodedError('unavailable', 'broken')),
  'create of its init': ({ runtime }: TestMachine) => runtime.failNext('create', new Error('broken')),
  'start of its init': ({ runtime }: TestMachine) => runtime.failNext('start', new Error('broken')),
})) {
  test(`${step} fails: told why, nothing is left, and the retry succeeds`, async () => {
    await using node = testServices()
    const { services, machine } = node
    const request = { config: sharedPid, handler: '', fingerprint: 'f' }
    fail(machine)
    await assert.rejects(runPod(services, request, never), (err: unknown) =>
      /^run pod sandbox default\/a: .*broken/.test(explain(err)),
    )
    assert.equal(services.pods.size, 0)
    await assertBare(node)
    await removePod(services, await runPod(services, request, never))
    await assertBare(node)
  })
}

test('the init of a pod that ends at once fails the pod; one that ends later makes it not ready', async () => {
  await using node = testServices()
  const { services, machine } = node
  const request = { config: sharedPid, handler: '', fingerprint: 'f' }
  const { start } = machine.runtime
  machine.runtime.start = async (paths, signal) => {
    await start.call(machine.runtime, paths, signal)
    machine.runtime.end(paths.id, 1)
  }
  await assert.rejects(runPod(services, request, never), (err: unknown) =>
    /init ended at once with exit code 1/.test(explain(err)),
  )
  await assertBare(node)
  machine.runtime.start = start
  const id = await runPod(services, request, never)
  machine.runtime.end(id, 0)
  await eventually('noticed', () => services.pods.get(id).state.kind === 'notReady')
  await removePod(services, id)
  await assertBare(node)
})

test('a stop that fails says so and can be repeated', async () => {
  await using node = testServices()
  const { services, machine } = node
  const id = await runPod(services, { config: sharedPid, handler: '', fingerprint: 'f' }, never)
  machine.cni.failNext('del', new CodedError('unavailable', 'plugin hangs'), 2)
  await assert.rejects(stopPod(services, id), { code: 'unavailable', message: /^stop pod sandbox default\/a/ })
  const { state } = services.pods.get(id)
  assert.ok(state.kind === 'unknown' && state.reason === 'plugin hangs')
  await assert.rejects(removePod(services, id), { code: 'unavailable' })
  await stopPod(services, id)
  assert.equal(services.pods.get(id).state.kind, 'notReady')
  await stopPod(services, id)
  await Promise.all([removePod(services, id), removePod(services, id), stopPod(services, id)])
  await assertBare(node)
})

test('nothing is made in a pod that is stopped, also when the stop comes meanwhile', async () => {
  await using node = testServices()
  const { services, machine } = node
  const podId = await runPod(services, { config: podConfig('a'), handler: '', fingerprint: 'f' }, never)
  const create = () => createContainer(services, { podId, config: containerConfig('c'), fingerprint: 'f' }, never)
  const held = machine.runtime.hold('create')
  const creating = create()
  await turn()
  await stopPod(services, podId)
  held[Symbol.dispose]()
  await assert.rejects(creating, { code: 'failed_precondition' })
  assert.equal(services.containers.size, 0)
  await assert.rejects(create(), { code: 'failed_precondition', message: /is not ready/ })
  await removePod(services, podId)
  await assertBare(node)
})

test('a cgroup that stays busy fails neither stop nor remove', async () => {
  await using node = testServices()
  const { services } = node
  const id = await runPod(services, { config: podConfig('a'), handler: '', fingerprint: 'f' }, never)
  const { cgroups } = services.host
  const remove = cgroups.remove.bind(cgroups)
  Object.assign(cgroups, { remove: () => Promise.reject(new CodedError('internal', 'EBUSY')) })
  await stopPod(services, id)
  Object.assign(cgroups, { remove })
  await removePod(services, id)
  assert.equal(services.pods.size, 0)
})
