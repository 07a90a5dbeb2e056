import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContainerPaths, CreateRequest, Exit } from '@coracle/oci-runtime'
import type { RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import { createFakeRuntime } from './fake-runtime.ts'

const never = new AbortController().signal
const paths: ContainerPaths = { id: 'c1', bundle: '/b', state: '/s' }
// Only the resources of a spec are looked at by the fake.
const spec = { linux: { resources: { memory: { limit: 1 } } } } as RuntimeSpec
const request: CreateRequest = {
  ...{ paths, spec, logPath: undefined, stdin: false, stdinOnce: false, terminal: false, monitorCgroup: undefined },
}

test('a container goes from created to ended', async () => {
  const runtime = createFakeRuntime()
  const { pid } = await runtime.create(request, never)
  assert.equal(await runtime.isStarted(paths), false)
  await runtime.start(paths, never)
  assert.deepEqual(runtime.inspect(paths), { monitorAlive: true, pid })
  const { promise, resolve } = Promise.withResolvers<Exit>()
  runtime.watchExit(paths, never, resolve)
  await runtime.kill(paths, 15, false)
  assert.equal((await promise).exitCode, 143)
  assert.equal(runtime.readExit(paths)?.exitCode, 143)
  await runtime.delete(paths)
  await runtime.delete(paths)
  assert.deepEqual(runtime.ids, [])
})

test('without a monitor the exit code is lost', async () => {
  const runtime = createFakeRuntime({ ignoredSignals: [15] })
  await runtime.create(request, never)
  await runtime.start(paths, never)
  runtime.killMonitor('c1')
  await runtime.kill(paths, 15, false)
  assert.notEqual(runtime.inspect(paths).pid, undefined)
  await runtime.kill(paths, 9, true)
  assert.equal(runtime.container('c1')?.exit?.exitCode, 255)
  assert.equal(runtime.readExit(paths), undefined)
})

test('operations can be failed and held', async () => {
  const runtime = createFakeRuntime()
  runtime.failNext('create', new Error('no'))
  await assert.rejects(runtime.create(request, never), /no/)
  const held = runtime.hold('create')
  let done = false
  const creating = runtime.create(request, never).then(() => {
    done = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(done, false)
  held[Symbol.dispose]()
  await creating
  assert.deepEqual(runtime.calls, ['create c1', 'create c1'])
})

test('execs answer, hang and are terminated', async () => {
  const runtime = createFakeRuntime({
    exec: ({ process }) => (process.args[0] === 'hang' ? { hangs: true } : { stdout: 'x', exitCode: 3 }),
  })
  await runtime.create(request, never)
  await runtime.start(paths, never)
  // Only args and terminal are looked at.
  const run = (arg: string) => runtime.exec(paths, { process: { args: [arg], terminal: false } as never, stdin: false }, never)
  const one = await run('x')
  assert.equal((await one.stdout.toArray()).join(''), 'x')
  assert.equal(await one.exited, 3)
  const two = await run('hang')
  assert.equal(runtime.liveExecs, 1)
  await two.terminate(false)
  assert.equal(await two.exited, 137)
  assert.equal(runtime.liveExecs, 0)
})
