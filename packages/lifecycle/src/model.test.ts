// Eight clients do to three pods whatever comes to their minds; a model of what the CRI promises watches. The seed is fixed.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, explain } from '@coracle/base/errors'
import { eventually } from '@coracle/testkit/eventually'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { createContainer } from './container/create.ts'
import { removeContainer } from './container/remove.ts'
import { startContainer } from './container/start.ts'
import { stopContainer } from './container/stop.ts'
import { execSync } from './exec/exec-sync.ts'
import { removePod } from './pod/remove.ts'
import { runPod } from './pod/run.ts'
import { stopPod } from './pod/stop.ts'
import { recover } from './recover.ts'
import type { Services } from './services.ts'

const seed = 20_261_120
const clients = 8
const stepsPerClient = 150

/** Numbers that look random and are the same each time (mulberry32). */
function numbers(start: number): (below: number) => number {
  let state = start
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** What may be answered, whatever the others do meanwhile. Anything else is a fault. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  run: ['ok', 'already_exists', 'canceled'],
  create: ['ok', 'already_exists', 'failed_precondition', 'not_found', 'canceled'],
  start: ['ok', 'failed_precondition', 'not_found', 'canceled'],
  stop: ['ok', 'canceled'],
  exec: ['ok', 'failed_precondition', 'not_found', 'canceled'],
  removeContainer: ['ok'],
  stopPod: ['ok'],
  removePod: ['ok'],
}

interface World {
  readonly services: Services
  readonly random: (below: number) => number
}

const pick = <T>({ random }: World, items: readonly T[]): T | undefined => items[random(items.length || 1)]

async function step(world: World): Promise<[operation: string, outcome: string]> {
  const { services, random } = world
  const caller = new AbortController()
  if (random(10) === 0) setImmediate(() => caller.abort(new DOMException('left', 'AbortError')))
  const podId = pick(world, [...services.pods.all()])?.id ?? 'f'.repeat(64)
  const id = pick(world, [...services.containers.all()])?.id ?? 'e'.repeat(64)
  const name = String.fromCharCode(97 + random(3))
  const operations: Readonly<Record<string, () => Promise<unknown>>> = {
    run: () => runPod(services, { config: podConfig(name), handler: '', fingerprint: `${random(4) === 0}` }, caller.signal),
    create: () => createContainer(services, { podId, config: containerConfig(name), fingerprint: 'f' }, caller.signal),
    start: () => startContainer(services, id, caller.signal),
    stop: () => stopContainer(services, { id, graceMs: random(3) }, caller.signal),
    exec: () => execSync(services, { id, argv: ['/x'], timeoutMs: 1000 }, caller.signal),
    removeContainer: () => removeContainer(services, id),
    stopPod: () => stopPod(services, podId),
    removePod: () => removePod(services, podId),
  }
  const often = ['run', 'run', 'create', 'create', 'create', 'start', 'start', 'start', 'exec']
  const operation = pick(world, [...often, 'stop', 'stop', 'removeContainer', 'stopPod', 'removePod']) ?? 'run'
  try {
    await operations[operation]?.()
    return [operation, 'ok']
  } catch (err) {
    const code = codeOf(err)
    assert.ok(allowed[operation]?.includes(code), `${operation}: ${code}: ${explain(err)}`)
    return [operation, code]
  }
}

/** True at every moment, also between two turns of the event loop. */
function assertSound(services: Services): void {
  const keys = new Set<string>()
  for (const pod of services.pods.all()) {
    assert.ok(!keys.has(pod.key), 'two pods with one key')
    keys.add(pod.key)
  }
  for (const { state, createdAt } of services.containers.all()) {
    if (state.kind !== 'exited') continue
    assert.ok(state.finishedAt >= createdAt && state.finishedAt >= state.startedAt, 'times run backwards')
  }
}

test(`random interleavings, seed ${seed}`, { timeout: 60_000 }, async () => {
  await using node = testServices({ settings: { unclaimedMs: 100_000 } })
  const { services, machine } = node
  // Notes which boot this is.
  mkdirSync(services.settings.stateDirectory, { recursive: true })
  await recover(services)
  const unhandled: unknown[] = []
  process.on('unhandledRejection', (err) => unhandled.push(err))
  const seen = new Map<string, number>()
  const client = async (n: number) => {
    const world = { services, random: numbers(seed + n) }
    for (let i = 0; i < stepsPerClient; i++) {
      const outcome = (await step(world)).join(' ')
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
      assertSound(services)
      if (world.random(4) === 0) await sleep(world.random(3))
      const [running] = machine.runtime.ids
      if (world.random(20) === 0 && running !== undefined) machine.runtime.end(running, world.random(2))
    }
  }
  await Promise.all(Array.from({ length: clients }, (_value, n) => client(n)))
  for (const operation of Object.keys(allowed)) assert.ok((seen.get(`${operation} ok`) ?? 0) > 0, `${operation} never succeeded`)

  // What abandoned callers began goes on; at a real end of the daemon it would not.
  await eventually('nothing in flight', () => services.podFlights.size + services.containerFlights.size === 0)
  await eventually('nothing being stopped', () => services.stops.size + services.startFlights.size === 0)

  // No pod that is not ready holds a live container.
  for (const { podId, state } of services.containers.all())
    if (state.kind === 'running') assert.equal(services.pods.get(podId).state.kind, 'ready')
  // A restart finds the same, and everything can be removed.
  const next = node.restart()
  await using _next = next
  await recover(next.services)
  await Promise.all([...next.services.pods.all()].map(({ id }) => removePod(next.services, id)))
  await sleep(20)
  assert.deepEqual([next.services.pods.size, next.services.containers.size], [0, 0])
  for (const { stops, exits, afterExit, afterCreate, podLocks, containerLocks } of [services, next.services]) {
    assert.deepEqual([afterExit.size, afterCreate.size, stops.size, podLocks.size, containerLocks.size], [0, 0, 0, 0, 0])
    if (exits === next.services.exits) assert.equal(exits.size, 0)
  }
  const { host, runtime, cni, images } = machine
  assert.deepEqual([...host.pins, ...host.mountTargets, ...runtime.ids, ...cni.attached, ...images.rootfsKeys()], [])
  assert.deepEqual(unhandled, [])
})
