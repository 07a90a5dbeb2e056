import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { CodedError, codeOf, explain } from '@coracle/base/errors'
import type { FakeExecResult } from '@coracle/testkit/fake-runtime'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { createContainer } from '../container/create.ts'
import { startContainer } from '../container/start.ts'
import { runPod } from '../pod/run.ts'
import { Capture, capturedBytes } from './capture.ts'
import { execSync } from './exec-sync.ts'
import { fitReply } from './fit.ts'

const never = new AbortController().signal

async function running(result: FakeExecResult) {
  const node = testServices({ runtime: { exec: () => result } })
  const { services, machine } = node
  const podId = await runPod(services, { config: podConfig('p'), handler: '', fingerprint: 'f' }, never)
  const id = await createContainer(services, { podId, config: containerConfig('c'), fingerprint: 'f' }, never)
  await assert.rejects(execSync(services, { id, argv: ['x'], timeoutMs: 0 }, never), { code: 'failed_precondition' })
  await startContainer(services, id, never)
  const exec = (timeoutMs: number, signal = never) => execSync(services, { id, argv: ['/bin/x'], timeoutMs }, signal)
  return { node, exec, liveExecs: () => machine.runtime.liveExecs }
}

test('output and exit code', async () => {
  const { node, exec } = await running({ stdout: 'out', stderr: 'err', exitCode: 3 })
  await using _node = node
  const { stdout, stderr, exitCode } = await exec(1000)
  assert.deepEqual([`${stdout}`, `${stderr}`, exitCode], ['out', 'err', 3])
  assert.equal(capturedBytes(), 0)
})

test('a timeout longer than any timer is none that fires at once', async () => {
  const { node, exec } = await running({ stdout: 'out' })
  await using _node = node
  for (const timeoutMs of [2 ** 31, 2 ** 32 + 1, 1e12]) assert.equal((await exec(timeoutMs)).exitCode, 0)
})

test('a command that is not there is no reason to ask whether the container has ended', async () => {
  const { node, exec } = await running({ stdout: 'out' })
  await using _node = node
  node.machine.runtime.failNext('exec', new CodedError('failed_precondition', 'executable file not found'))
  await assert.rejects(exec(0), (err) => {
    assert.equal(codeOf(err), 'failed_precondition')
    assert.match(explain(err), /not found/)
    assert.doesNotMatch(explain(err), /has ended/)
    return true
  })
})

test('at the timeout the process is killed first', async () => {
  const { node, exec, liveExecs } = await running({ hangs: true })
  await using _node = node
  await assert.rejects(exec(50), { code: 'deadline_exceeded', message: /^exec "\/bin\/x" in container/ })
  assert.equal(liveExecs(), 0)
})

test('a caller that leaves takes its process with it', async () => {
  const { node, exec, liveExecs } = await running({ hangs: true })
  await using _node = node
  const caller = new AbortController()
  const call = exec(0, caller.signal)
  setTimeout(() => caller.abort(new CodedError('canceled', 'left')), 20)
  await assert.rejects(call, { code: 'canceled' })
  assert.equal(liveExecs(), 0)
})

test('what comes after the end of a capture is not counted', async () => {
  const stream = new PassThrough()
  {
    using capture = new Capture(stream)
    stream.write('abc')
    await capture.drained(5, performance.now() + 20)
    assert.equal(`${capture.bytes()}`, 'abc')
    assert.equal(capturedBytes(), 3)
  }
  stream.emit('data', Buffer.from('late'))
  stream.emit('error', new Error('late'))
  stream.emit('error', new Error('later'))
  assert.equal(capturedBytes(), 0)
})

test('two long outputs are shortened to fit one reply, the short one kept whole', () => {
  const [long, short] = [Buffer.alloc(16 * 1024 * 1024), Buffer.from('short')]
  const limit = 16 * 1024 * 1024 - 4096
  const both = fitReply(long, long)
  assert.ok(both.stdout.length + both.stderr.length <= limit)
  assert.equal(fitReply(long, short).stderr.length, 5)
  assert.equal(fitReply(short, long).stdout.length, 5)
  assert.equal(fitReply(short, short).stdout, short)
})
