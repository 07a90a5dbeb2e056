import assert from 'node:assert/strict'
import { test } from 'node:test'
import { delay } from '@coracle/base/signals'
import { eventually } from '@coracle/testkit/eventually'
import { containerConfig, podConfig, type TestServices, type TestServicesOptions, testServices } from '@coracle/testkit/services'
import { runPod } from '../pod/run.ts'
import { createContainer } from './create.ts'
import { removeContainer } from './remove.ts'
import { startContainer } from './start.ts'
import { stopContainer } from './stop.ts'

const never = new AbortController().signal
const SIGTERM = 15

async function running(options: TestServicesOptions = {}) {
  const node = testServices(options)
  const { services } = node
  const podId = await runPod(services, { config: podConfig('p'), handler: '', fingerprint: 'f' }, never)
  const id = await createContainer(services, { podId, config: containerConfig('c'), fingerprint: 'f' }, never)
  await startContainer(services, id, never)
  return { node, services, id, podId, state: () => services.containers.get(id).state }
}

const kills = ({ machine }: TestServices) => machine.runtime.calls.filter((call) => call.startsWith('kill')).length

test('the stop signal ends it within the grace; its end is recorded and cleaned up after', async () => {
  const { node, services, id, state } = await running()
  await using _node = node
  await stopContainer(services, { id, graceMs: 5000 }, never)
  const ended = state()
  assert.ok(ended.kind === 'exited' && ended.exitCode === 128 + SIGTERM && ended.reason === 'Error')
  assert.ok(ended.finishedAt >= ended.startedAt)
  assert.equal(kills(node), 1)
  await eventually('cleaned up', () => node.machine.runtime.ids.length === 0 && node.machine.images.mounted.size === 0)
  assert.deepEqual([services.exits.size, services.stops.size, services.afterExit.size], [0, 0, 0])
  await stopContainer(services, { id, graceMs: 5000 }, never)
  await stopContainer(services, { id: 'f'.repeat(64), graceMs: 5000 }, never)
})

test('what ignores the signal is killed after the grace, not before', async () => {
  const { node, services, id, state } = await running({ runtime: { ignoredSignals: [SIGTERM] } })
  await using _node = node
  const start = performance.now()
  await stopContainer(services, { id, graceMs: 150 }, never)
  assert.ok(performance.now() - start >= 140)
  const ended = state()
  assert.ok(ended.kind === 'exited' && ended.exitCode === 137)
})

test('a later stop shortens the grace and never lengthens it; both callers are answered', async () => {
  const { node, services, id } = await running({ runtime: { ignoredSignals: [SIGTERM] } })
  await using _node = node
  const start = performance.now()
  const stops = [600_000, 100, 600_000].map((graceMs) => stopContainer(services, { id, graceMs }, never))
  await Promise.all(stops)
  assert.ok(performance.now() - start < 2000)
})

test('a caller that leaves does not take the kill back', async () => {
  const { node, services, id, state } = await running({ runtime: { ignoredSignals: [SIGTERM] } })
  await using _node = node
  const caller = new AbortController()
  const stop = stopContainer(services, { id, graceMs: 100 }, caller.signal)
  caller.abort(new Error('left'))
  await assert.rejects(stop, /left/)
  await eventually('killed', () => state().kind === 'exited')
})

test('a runtime that cannot send the stop signal neither ends the daemon nor saves the container', async () => {
  const { node, services, id, state } = await running({ runtime: { ignoredSignals: [SIGTERM] } })
  await using _node = node
  node.machine.runtime.failNext('kill', new Error('runtime is broken'))
  await stopContainer(services, { id, graceMs: 100 }, never)
  assert.equal(state().kind, 'exited')
})

test('a kill that fails is repeated', async () => {
  const { node, services, id, state } = await running()
  await using _node = node
  node.machine.runtime.failNext('kill', new Error('runtime is broken'))
  await stopContainer(services, { id, graceMs: 0 }, never)
  assert.equal(state().kind, 'exited')
})

test('one that nobody watches is stopped all the same', async () => {
  const { node, services, id, state } = await running()
  await using _node = node
  // As when its recovery failed.
  services.exits.delete(id)
  await stopContainer(services, { id, graceMs: 0 }, never)
  assert.equal(state().kind, 'exited')
})

test('an exit during the grace ends the wait, with its own code', async () => {
  const { node, services, id, state } = await running({ runtime: { ignoredSignals: [SIGTERM] } })
  await using _node = node
  const stop = stopContainer(services, { id, graceMs: 60_000 }, never)
  await delay(20)
  node.machine.runtime.end(id, 0)
  await stop
  const ended = state()
  assert.ok(ended.kind === 'exited' && ended.exitCode === 0 && ended.reason === 'Completed')
})

test('nothing may be started in a container that is being killed', async () => {
  const { node, services, id } = await running()
  await using _node = node
  const { requireRunning } = await import('../exec/exec-sync.ts')
  const held = node.machine.runtime.hold('kill')
  const stop = stopContainer(services, { id, graceMs: 0 }, never)
  await delay(5)
  assert.throws(() => requireRunning(services, id), { code: 'failed_precondition', message: /is being killed/ })
  held[Symbol.dispose]()
  await stop
  assert.throws(() => requireRunning(services, id), { code: 'failed_precondition', message: /is not running/ })
})

test('removal kills, and leaves nothing in any state', async () => {
  const { node, services, id, podId } = await running()
  await using _node = node
  const created = await createContainer(services, { podId, config: containerConfig('d'), fingerprint: 'f' }, never)
  const ended = await createContainer(services, { podId, config: containerConfig('e'), fingerprint: 'f' }, never)
  await startContainer(services, ended, never)
  node.machine.runtime.end(ended, 3)
  for (const one of [id, created, ended, id, 'f'.repeat(64)]) await removeContainer(services, one)
  assert.equal(services.containers.size, 0)
  assert.deepEqual(node.machine.runtime.ids, [])
  assert.deepEqual(node.machine.images.rootfsKeys(), [])
  assert.deepEqual([services.exits.size, services.stops.size, services.afterExit.size], [0, 0, 0])
})

test('a removal that fails keeps the record, and the next one succeeds', async () => {
  const { node, services, id } = await running()
  await using _node = node
  node.machine.images.failNext('removeRootfs', new Error('busy'))
  await assert.rejects(removeContainer(services, id), { message: `remove container ${id}` })
  assert.equal(services.containers.size, 1)
  await removeContainer(services, id)
  assert.equal(services.containers.size, 0)
})

test('a start that hangs because its container was killed under it is cut off', async () => {
  const { node, services, podId } = await running()
  await using _node = node
  const id = await createContainer(services, { podId, config: containerConfig('d'), fingerprint: 'f' }, never)
  using _held = node.machine.runtime.hold('start')
  const start = startContainer(services, id, never)
  start.catch(() => {})
  await delay(5)
  await removeContainer(services, id)
  await assert.rejects(start, { code: 'failed_precondition' })
  assert.equal(services.containers.find(id), undefined)
})

test('a stop that comes during a start waits for it, and then sends the stop signal', async () => {
  const { node, services, podId } = await running()
  await using _node = node
  const id = await createContainer(services, { podId, config: containerConfig('d'), fingerprint: 'f' }, never)
  const held = node.machine.runtime.hold('start')
  const start = startContainer(services, id, never)
  await delay(5)
  const stop = stopContainer(services, { id, graceMs: 600_000 }, never)
  await delay(5)
  assert.equal(services.containers.get(id).state.kind, 'created')
  held[Symbol.dispose]()
  await start
  await stop
  const ended = services.containers.get(id).state
  assert.ok(ended.kind === 'exited' && ended.exitCode === 128 + SIGTERM)
})

test('a stop that comes during a start that hangs kills after the grace: what was stopped does not run later', async () => {
  const { node, services, podId } = await running()
  await using _node = node
  const id = await createContainer(services, { podId, config: containerConfig('d'), fingerprint: 'f' }, never)
  using _held = node.machine.runtime.hold('start')
  const start = startContainer(services, id, never)
  start.catch(() => {})
  await delay(5)
  const caller = AbortSignal.timeout(10)
  await assert.rejects(stopContainer(services, { id, graceMs: 50 }, caller))
  await assert.rejects(start, { code: 'failed_precondition' })
  assert.equal(services.containers.get(id).state.kind, 'exited')
})
