import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import type { Container } from '../model/container.ts'
import type { Pod } from '../model/pod.ts'
import type { Services } from '../services.ts'
import type { ChangeListener } from '../store/records.ts'
import { containerKinds, createEvents, podKinds } from './events.ts'

const pod = (kind: string): Pod => ({ id: 'p', state: { kind } }) as unknown as Pod
const container = (kind: string): Container => ({ id: 'c', podId: 'p', state: { kind } }) as unknown as Container

test('podKinds() tells what a change means to those who see only whole pods', () => {
  const kinds = (before: string | undefined, after: string | undefined) =>
    podKinds(before === undefined ? undefined : pod(before), after === undefined ? undefined : pod(after)).join(' ')
  assert.equal(kinds(undefined, 'creating'), '')
  assert.equal(kinds('creating', 'ready'), 'created started')
  assert.equal(kinds('ready', 'ready'), '')
  assert.equal(kinds('ready', 'notReady'), 'stopped')
  assert.equal(kinds('notReady', 'unknown'), '')
  assert.equal(kinds('notReady', undefined), 'deleted')
  assert.equal(kinds('creating', undefined), '')
  assert.equal(kinds('creating', 'unknown'), 'created stopped')
})

test('containerKinds() likewise', () => {
  const kinds = (before: string | undefined, after: string | undefined) =>
    containerKinds(before === undefined ? undefined : container(before), after === undefined ? undefined : container(after)).join(
      ' ',
    )
  assert.equal(kinds(undefined, 'creating'), '')
  assert.equal(kinds('creating', 'created'), 'created')
  assert.equal(kinds('created', 'running'), 'started')
  assert.equal(kinds('created', 'exited'), 'stopped')
  assert.equal(kinds('running', 'running'), '')
  assert.equal(kinds('running', 'exited'), 'stopped')
  assert.equal(kinds('exited', undefined), 'deleted')
  assert.equal(kinds('creating', undefined), '')
})

function world() {
  const pods: ChangeListener<Pod>[] = []
  const containers: ChangeListener<Container>[] = []
  const records = {
    pods: { onChange: (listener: ChangeListener<Pod>) => pods.push(listener), find: () => pod('ready') },
    containers: {
      onChange: (listener: ChangeListener<Container>) => containers.push(listener),
      all: () => [container('exited')],
    },
  } as unknown as Pick<Services, 'pods' | 'containers'>
  const change = (before: string, after: string) => {
    for (const listener of containers) listener(container(before), container(after))
  }
  return { events: createEvents(records), change, stop: () => change('running', 'exited') }
}

test('subscribe() gives each subscriber all events in order, with the containers as they are', async () => {
  const { events, change, stop } = world()
  const signal = new AbortController().signal
  const [one, two] = [events.subscribe(signal), events.subscribe(signal)]
  change('creating', 'created')
  change('created', 'running')
  stop()
  events.close()
  const seen = await Array.fromAsync(one)
  assert.deepEqual(
    seen.map(({ kind }) => kind),
    ['created', 'started', 'stopped'],
  )
  assert.ok(seen.every(({ createdAt }, index) => index === 0 || createdAt > (seen[index - 1]?.createdAt ?? 0n)))
  assert.deepEqual(
    seen[2]?.containers.map(({ id }) => id),
    ['c'],
  )
  assert.deepEqual(await Array.fromAsync(two), seen)
  assert.deepEqual(await Array.fromAsync(events.subscribe(signal)), [])
})

test('subscribe() begins with what a recovery found, for a minute', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { events, change, stop } = world()
  const caller = new AbortController()
  const kindsSeen = async () => {
    const reader = events.subscribe(caller.signal)
    // Marks the end of what came before.
    change('created', 'running')
    const kinds: string[] = []
    for await (const { kind } of reader) {
      if (kind === 'started') break
      kinds.push(kind)
    }
    return kinds
  }
  stop()
  events.recovered()
  // Told to nobody, and found by no recovery.
  stop()
  assert.deepEqual([await kindsSeen(), await kindsSeen()], [['stopped'], ['stopped']])
  t.mock.timers.tick(60_000)
  assert.deepEqual(await kindsSeen(), [])
})

test('subscribe() leaves out what a recovery found when it is more than half of what anybody may have unread', async () => {
  const { events, stop } = world()
  for (let i = 0; i < 501; i++) stop()
  events.recovered()
  const reader = events.subscribe(new AbortController().signal)
  events.close()
  assert.deepEqual(await Array.fromAsync(reader), [])
})

test('subscribe() cuts off who does not read, and nobody else', async () => {
  const { events, stop } = world()
  const signal = new AbortController().signal
  const [slow, quick] = [events.subscribe(signal), events.subscribe(signal)]
  let read = 0
  for (let i = 0; i < 10_000; i++) {
    stop()
    if ((await quick.next()).value !== undefined) read++
  }
  assert.equal(read, 10_000)
  await assert.rejects(Array.fromAsync(slow), (err) => codeOf(err) === 'resource_exhausted')
})

test('subscribe() ends when the caller leaves', async () => {
  const { events, stop } = world()
  const caller = new AbortController()
  const seen = Array.fromAsync(events.subscribe(caller.signal))
  await new Promise((resolve) => setImmediate(resolve))
  stop()
  await new Promise((resolve) => setImmediate(resolve))
  caller.abort()
  assert.equal((await seen).length, 1)
})
