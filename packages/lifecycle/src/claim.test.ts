// A retry is answered by the work of the call that its caller gave up; nothing is left when no retry comes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { CodedError } from '@coracle/base/errors'
import { eventually } from '@coracle/testkit/eventually'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { createContainer } from './container/create.ts'
import { startContainer } from './container/start.ts'
import { runPod } from './pod/run.ts'
import type { Services } from './services.ts'

const never = new AbortController().signal
const request = { config: podConfig('a'), handler: '', fingerprint: 'f' }

/** Starts a call and leaves it. */
async function abandoned(start: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const caller = new AbortController()
  const call = start(caller.signal)
  caller.abort(new CodedError('canceled', 'left'))
  await assert.rejects(call, { code: 'canceled' })
}

const settled = (services: Services) =>
  eventually('nothing in flight', () => services.podFlights.size + services.containerFlights.size === 0)

test('a retry joins the run in flight: one network, one pod', async () => {
  await using node = testServices()
  const { services, machine } = node
  const held = machine.cni.hold('add')
  await abandoned((signal) => runPod(services, request, signal))
  const retries = [runPod(services, request, never), runPod(services, request, never)]
  await turn()
  await assert.rejects(runPod(services, { ...request, fingerprint: 'other' }, never), {
    code: 'already_exists',
    message: /is being made by another request/,
  })
  held[Symbol.dispose]()
  const [first, second] = await Promise.all(retries)
  assert.equal(first, second)
  assert.deepEqual(
    machine.cni.calls.filter((call) => call.startsWith('add')),
    [`add ${first}`],
  )
  await assert.rejects(runPod(services, request, never), { code: 'already_exists', message: /already exists as/ })
})

test('a retry after the end gets the result that nobody heard, once', async () => {
  await using node = testServices()
  const { services } = node
  await abandoned((signal) => runPod(services, request, signal))
  await settled(services)
  const [pod] = [...services.pods.all()]
  assert.equal(await runPod(services, request, never), pod?.id)
  await assert.rejects(runPod(services, request, never), { code: 'already_exists' })
  const create = { podId: pod?.id ?? '', config: containerConfig('c'), fingerprint: 'f' }
  await abandoned((signal) => createContainer(services, create, signal))
  await settled(services)
  await assert.rejects(createContainer(services, { ...create, fingerprint: 'other' }, never), { code: 'already_exists' })
  assert.equal(await createContainer(services, create, never), [...services.containers.all()][0]?.id)
})

test('two different requests for one container: one wins, the other hears why', async () => {
  await using node = testServices()
  const { services } = node
  const podId = await runPod(services, request, never)
  const create = (fingerprint: string) => createContainer(services, { podId, config: containerConfig('c'), fingerprint }, never)
  const results = await Promise.allSettled([create('f'), create('g'), create('h')])
  const failures = results.filter((result) => result.status === 'rejected')
  assert.equal(failures.length, 2)
  for (const { reason } of failures) assert.equal(reason.code, 'already_exists', reason.message)
  assert.equal(services.containers.size, 1)
})

test('what nobody asks for again is undone', async () => {
  await using node = testServices({ settings: { unclaimedMs: 30 } })
  const { services, machine } = node
  await abandoned((signal) => runPod(services, request, signal))
  await settled(services)
  await eventually('undone', () => services.pods.size === 0)
  assert.ok(machine.cni.calls.length >= 2)
  assert.deepEqual([machine.host.pins.size, machine.cni.attached.size, machine.host.mountTargets.size], [0, 0, 0])
  const podId = await runPod(services, request, never)
  await abandoned((signal) => createContainer(services, { podId, config: containerConfig('c'), fingerprint: 'f' }, signal))
  await settled(services)
  await eventually('undone', () => services.containers.size === 0)
  await eventually('pod stays', () => services.pods.get(podId).state.kind === 'ready')
})

test('a container that somebody found and started is not undone', async () => {
  await using node = testServices({ settings: { unclaimedMs: 50 } })
  const { services } = node
  const podId = await runPod(services, request, never)
  await abandoned((signal) => createContainer(services, { podId, config: containerConfig('c'), fingerprint: 'f' }, signal))
  await settled(services)
  const [container] = [...services.containers.all()]
  await startContainer(services, container?.id ?? '', never)
  await new Promise((resolve) => setTimeout(resolve, 120))
  assert.equal(services.containers.get(container?.id ?? '').state.kind, 'running')
})

test('a retry never gets a pod that could not be made: it is cleared away first', async () => {
  await using node = testServices()
  const { services, machine } = node
  machine.cni.failNext('add', new CodedError('unavailable', 'no address left'))
  machine.cni.failNext('del', new CodedError('unavailable', 'plugin hangs'))
  await assert.rejects(runPod(services, request, never), { code: 'unavailable', message: /run pod sandbox default\/a/ })
  const [broken] = [...services.pods.all()]
  assert.ok(broken?.state.kind === 'unknown' && /no address left.*plugin hangs/.test(broken.state.reason))
  const id = await runPod(services, request, never)
  assert.notEqual(id, broken.id)
  assert.equal(services.pods.get(id).state.kind, 'ready')
  assert.equal(services.pods.size, 1)
  assert.deepEqual([...machine.cni.attached], [id])
})

test('a container that failed and could not be undone does not block its name', async () => {
  await using node = testServices()
  const { services, machine } = node
  const podId = await runPod(services, request, never)
  machine.runtime.failNext('create', new Error('no'))
  machine.images.failNext('removeRootfs', new Error('busy'))
  const create = { podId, config: containerConfig('c'), fingerprint: 'f' }
  await assert.rejects(createContainer(services, create, never), { message: /create container "c"/ })
  assert.equal(services.containers.size, 1)
  const id = await createContainer(services, create, never)
  assert.equal(services.containers.get(id).state.kind, 'created')
  assert.equal(services.containers.size, 1)
})
