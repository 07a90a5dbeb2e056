// What a start makes of each state, after the daemon alone or the whole machine went down.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { CodedError } from '@coracle/base/errors'
import { type ContainerId, newContainerId } from '@coracle/base/ids'
import { eventually } from '@coracle/testkit/eventually'
import { containerConfig, podConfig, type TestServices, testServices } from '@coracle/testkit/services'
import { createContainer } from './container/create.ts'
import { startContainer } from './container/start.ts'
import { stopContainer } from './container/stop.ts'
import type { Container } from './model/container.ts'
import { removePod } from './pod/remove.ts'
import { runPod } from './pod/run.ts'
import { recover } from './recover.ts'
import { openDatabase } from './store/database.ts'

const never = new AbortController().signal
const request = { config: podConfig('p'), handler: '', fingerprint: 'f' }

async function scene() {
  const node = testServices()
  const { services } = node
  // As a start does: notes which boot this is.
  mkdirSync(services.settings.stateDirectory, { recursive: true })
  await recover(services)
  const podId = await runPod(services, request, never)
  const make = async (name: string, start: boolean) => {
    const id = await createContainer(services, { podId, config: containerConfig(name), fingerprint: 'f' }, never)
    if (start) await startContainer(services, id, never)
    return id
  }
  return { node, services, podId, make, machine: node.machine }
}

async function restarted(node: TestServices, options: Parameters<TestServices['restart']>[0] & { reboot?: boolean } = {}) {
  if (options.reboot) {
    node.machine.host.reboot()
    node.machine.images.reboot()
  }
  const next = node.restart(options)
  await recover(next.services)
  return next
}

const stateOf = (node: TestServices, id: ContainerId) => node.services.containers.get(id).state

test('the daemon alone went: what runs goes on running, and its end is noticed', async () => {
  const { node, make, podId } = await scene()
  const [running, created] = [await make('a', true), await make('b', false)]
  await using next = await restarted(node)
  assert.equal(next.services.pods.get(podId).state.kind, 'ready')
  assert.equal(stateOf(next, running).kind, 'running')
  assert.equal(stateOf(next, created).kind, 'created')
  await startContainer(next.services, created, never)
  next.machine.runtime.end(running, 7)
  const ended = await eventually('noticed', () => {
    const state = stateOf(next, running)
    return state.kind === 'exited' && state
  })
  assert.equal(ended.exitCode, 7)
})

for (const started of [true, false]) {
  test(`${started ? 'a running' : 'a created'} container ended meanwhile: its true exit is told and cleaned up after`, async () => {
    const { node, make, machine } = await scene()
    const id = await make('a', started)
    node.restart()
    machine.runtime.end(id, 7, started)
    await using next = await restarted(node)
    const state = stateOf(next, id)
    assert.ok(state.kind === 'exited' && state.exitCode === 7)
    assert.equal(state.reason, started ? 'OOMKilled' : 'Error')
    await eventually('cleaned up', () => machine.runtime.ids.length === 0 && machine.images.mounted.size === 0)
  })
}

test('the monitor died too: the end is known, its code lost', async () => {
  const { node, make, machine } = await scene()
  const id = await make('a', true)
  machine.runtime.killMonitor(id)
  machine.runtime.end(id, 7)
  await using next = await restarted(node)
  const state = await eventually('noticed', () => {
    const now = stateOf(next, id)
    return now.kind === 'exited' && now
  })
  assert.equal(state.exitCode, 255)
})

test('the daemon went between a start and its record', async () => {
  const { node, make, services, machine } = await scene()
  const id = await make('a', false)
  const { bundle } = { bundle: join(services.settings.stateDirectory, 'containers', id) }
  await machine.runtime.start({ id, bundle, state: join(bundle, 'run') }, never)
  await using next = await restarted(node)
  assert.equal(stateOf(next, id).kind, 'running')
})

test('a runtime that does not answer leaves its container stoppable', async () => {
  const { node, make, machine } = await scene()
  const id = await make('a', true)
  const sweepExecs = machine.runtime.sweepExecs
  machine.runtime.sweepExecs = () => Promise.reject(new Error('runtime hangs'))
  await using next = await restarted(node)
  machine.runtime.sweepExecs = sweepExecs
  await stopContainer(next.services, { id, graceMs: 0 }, never)
  assert.equal(stateOf(next, id).kind, 'exited')
})

test('a cleanup after an exit that the end of the daemon cut off is repeated', async () => {
  const { node, make, machine, services } = await scene()
  const id = await make('a', true)
  // The exit is recorded, the rest hangs until the daemon goes.
  const held = machine.runtime.hold('delete')
  machine.runtime.end(id, 0)
  await eventually('recorded', () => services.containers.get(id).state.kind === 'exited')
  machine.runtime.failNext('delete', new Error('the daemon is gone'))
  const next = node.restart()
  held[Symbol.dispose]()
  await turn()
  assert.equal(machine.images.mounted.size, 1)
  await using _next = next
  await recover(next.services)
  await eventually('cleaned up', () => machine.runtime.ids.length === 0 && machine.images.mounted.size === 0)
})

test('the machine was restarted: all is exited and not ready, and the network is given back', async () => {
  const { node, make, podId, machine } = await scene()
  const [running, created] = [await make('a', true), await make('b', false)]
  await using next = await restarted(node, { reboot: true })
  assert.equal(next.services.pods.get(podId).state.kind, 'notReady')
  for (const id of [running, created]) {
    const state = stateOf(next, id)
    assert.ok(state.kind === 'exited' && state.exitCode === 255 && state.message === 'the machine was restarted')
  }
  await eventually('network released', () => machine.cni.attached.size === 0)
  await removePod(next.services, podId)
  assert.deepEqual([next.services.pods.size, next.services.containers.size], [0, 0])
})

for (const reboot of [false, true]) {
  test(`half-made things are undone${reboot ? ' after a restart of the machine' : ''}; a hanging plugin does not hold up the start`, async () => {
    const { node, machine, services } = await scene()
    const adding = machine.cni.hold('add')
    const abandoned = runPod(services, { ...request, config: podConfig('half') }, never)
    await turn()
    abandoned.catch(() => {})
    const [, half] = [...services.pods.all()]
    assert.equal(half?.state.kind, 'creating')
    const deleting = machine.cni.hold('del')
    if (reboot) machine.host.reboot()
    const next = node.restart()
    await using _next = next
    await recover(next.services, 50)
    // The same request waits for the undoing and is then made anew.
    const retry = runPod(next.services, { ...request, config: podConfig('half') }, never)
    deleting[Symbol.dispose]()
    await eventually('undone', () => next.services.pods.find(half?.id ?? '') === undefined)
    adding[Symbol.dispose]()
    const id = await retry
    assert.notEqual(id, half?.id)
    assert.equal(next.services.pods.get(id).state.kind, 'ready')
  })
}

test('one record that cannot be read does not keep the others from being served; its remains are swept', async () => {
  const { node, make, machine, services, podId } = await scene()
  const [good, bad] = [await make('a', true), await make('b', true)]
  mkdirSync(join(services.settings.stateDirectory, 'containers', bad), { recursive: true })
  const path = join(machine.directory, 'records.db')
  {
    using db = openDatabase(path)
    db.prepare('UPDATE containers SET record = ? WHERE id = ?').run('{"state', bad)
  }
  await using next = await restarted(node)
  assert.equal(stateOf(next, good).kind, 'running')
  assert.equal(next.services.containers.find(bad), undefined)
  assert.deepEqual(machine.runtime.ids, [good])
  using db = openDatabase(path)
  assert.equal(db.prepare('SELECT record FROM damaged WHERE id = ?').get(bad)?.['record'], '{"state')
  await removePod(next.services, podId)
  assert.deepEqual(machine.images.rootfsKeys(), [])
})

test('the record of a pod cannot be read: its containers go with it', async () => {
  const { node, make, machine, podId } = await scene()
  await make('a', true)
  {
    using db = openDatabase(join(machine.directory, 'records.db'))
    db.prepare('UPDATE pods SET config = ? WHERE id = ?').run(Buffer.from([0xff, 0xff, 0xff]), podId)
  }
  await using next = await restarted(node)
  assert.deepEqual([next.services.pods.size, next.services.containers.size], [0, 0])
  assert.deepEqual(machine.runtime.ids, [])
  await eventually('network released', () => machine.cni.attached.size === 0)
})

test('the configuration lost a handler: its pod is not ready, runs on, and can be removed', async () => {
  const { node, make, machine, podId } = await scene()
  const id = await make('a', true)
  await using next = await restarted(node, {
    runtimes: new Map(),
    retiredRuntimes: new Map([[machine.runtime.handler, machine.runtime]]),
  })
  assert.equal(next.services.pods.get(podId).state.kind, 'notReady')
  assert.equal(stateOf(next, id).kind, 'running')
  await assert.rejects(runPod(next.services, { ...request, config: podConfig('q') }, never), {
    code: 'invalid_argument',
    message: /is not configured/,
  })
  await removePod(next.services, podId)
  assert.deepEqual([next.services.pods.size, next.services.containers.size, machine.runtime.ids.length], [0, 0, 0])
})

test('a pod whose namespaces went is not ready', async () => {
  const { node, podId, machine } = await scene()
  await machine.host.namespaces.unpin(join(machine.directory, 'state', 'pods', podId, 'ns'))
  await using next = await restarted(node)
  assert.equal(next.services.pods.get(podId).state.kind, 'notReady')
  await eventually('released', () => machine.cni.attached.size === 0)
})

test('network collection that fails is no end of the daemon', async () => {
  const { node, machine } = await scene()
  machine.cni.failNext('gc', new CodedError('unavailable', 'no plugin'))
  await using next = await restarted(node)
  await turn()
  assert.equal(next.services.pods.size, 1)
})

test('directories that no record knows are removed', async () => {
  const { node, services } = await scene()
  const { stateDirectory, rootDirectory } = services.settings
  const stray = [join(stateDirectory, 'containers'), join(stateDirectory, 'pods'), join(rootDirectory, 'volumes')]
  for (const parent of stray) {
    mkdirSync(join(parent, newContainerId()), { recursive: true })
    writeFileSync(join(parent, newContainerId()), '')
  }
  await using next = await restarted(node)
  const { readdirSync } = await import('node:fs')
  const kept = stray.flatMap((parent) => readdirSync(parent))
  assert.deepEqual(
    kept.filter((name) => next.services.pods.find(name) === undefined),
    [],
  )
})

test('a record says what it said before', async () => {
  const { node, make } = await scene()
  const id = await make('a', true)
  const before: Container = node.services.containers.get(id)
  await using next = await restarted(node)
  const { state, made, config, key, createdAt } = next.services.containers.get(id)
  const { state: oldState, made: oldMade, config: oldConfig } = before
  assert.deepEqual(
    { state, made, key, createdAt },
    { state: oldState, made: oldMade, key: before.key, createdAt: before.createdAt },
  )
  assert.deepEqual({ ...config }, { ...oldConfig })
})
