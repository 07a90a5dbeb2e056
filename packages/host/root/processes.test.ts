import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHost } from '@coracle/host'
import { needsRoot } from '@coracle/testkit/needs-root'
import { scratch } from './scratch.ts'

const { processes, cgroups } = createHost()
const quiet = ['ignore', 'ignore', 'ignore'] as const
const never = new AbortController().signal
const sleeper = () => processes.start({ argv: ['/bin/sleep', '1000'], stdio: quiet })

test('signal() hits exactly the identified process', needsRoot(), async () => {
  await using _dir = scratch()
  await using child = await sleeper()
  const identity = processes.identify(child.pid)
  assert.ok(identity)
  assert.equal(processes.signal({ ...identity, startTime: identity.startTime - 1n }, 9), false)
  assert.equal(processes.isAlive(identity), true)
  assert.equal(processes.signal(identity, 0), true)
  assert.equal(processes.signal(identity, 15), true)
  assert.equal((await child.exited).signal, 'SIGTERM')
  assert.equal(processes.signal(identity, 15), false)
  assert.equal(processes.identify(child.pid), undefined)
  assert.equal(processes.signal({ pid: 2 ** 22 - 1, startTime: 1n }, 15), false)
})

test('waitForExit() notices exits soon, and gives up on abort', needsRoot(), async () => {
  await using _dir = scratch()
  await using first = await sleeper()
  await using second = await sleeper()
  const one = processes.identify(first.pid)
  const two = processes.identify(second.pid)
  assert.ok(one && two)
  const controller = new AbortController()
  const waits = [processes.waitForExit(one, never), processes.waitForExit(one, never)]
  const aborted = processes.waitForExit(two, controller.signal)
  setTimeout(() => processes.signal(one, 9), 100)
  const before = performance.now()
  await Promise.all(waits)
  assert.ok(performance.now() - before < 1000)
  controller.abort(new Error('enough'))
  await assert.rejects(aborted, /enough/)
  await processes.waitForExit(one, never)
})

test('descendants() finds children and daemons of their sessions', needsRoot(), async () => {
  await using _dir = scratch()
  await using child = await processes.start({ argv: ['/bin/sh', '-c', '(sleep 1001 & sleep 1002 &) ; sleep 1003'], stdio: quiet })
  const expected = 3
  for (let i = 0; i < 100 && processes.descendants(child.pid).length < expected; i++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  const found = processes.descendants(child.pid)
  assert.equal(found.length, expected)
  for (const identity of found) processes.signal(identity, 9)
  await child.exited
})

test('cgroups kill fork bombs and are removed', needsRoot(), async () => {
  await using _dir = scratch()
  const path = `/coracle-host-test-${process.pid}`
  assert.equal(cgroups.ensure(`${path}/a`), true)
  assert.equal(cgroups.ensure(`${path}/a`), false)
  // It waits until it has been moved.
  await using bomb = await processes.start({
    argv: ['/bin/sh', '-c', 'read go; while :; do sleep 1000 & sleep 0.02; done'],
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  cgroups.addProcess(`${path}/a`, bomb.pid)
  assert.equal(cgroups.pathOf(bomb.pid), `${path}/a`)
  const stdin = bomb.stdio[0]
  assert.ok(stdin && 'end' in stdin)
  stdin.end('go\n')
  for (let i = 0; i < 100 && cgroups.processes(path).length < 5; i++) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(cgroups.processes(path).length >= 5)
  await cgroups.kill(path)
  assert.deepEqual(cgroups.processes(path), [])
  assert.equal((await bomb.exited).signal, 'SIGKILL')
  await cgroups.remove(path)
  await cgroups.remove(path)
  await cgroups.kill(path)
  assert.equal(cgroups.exists(path), false)
  assert.equal(cgroups.pathOf(bomb.pid), undefined)
})
