import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cgroupOf } from './cgroup-path.ts'
import { socketDirectoryFor } from './create-oci-runtime.ts'
import { parseStatus as parseExecStatus } from './exec/status.ts'
import { parseExitCode } from './exit-file.ts'
import { atLeast, parseFeatures, parseVersion, probedFeatures } from './features.ts'
import { controlMessage } from './monitor/control.ts'
import { parseReport } from './monitor/sync-pipe.ts'
import { parseIdentity, parseRecord } from './record.ts'
import { parseStatus } from './started.ts'
import { mergeResources } from './update.ts'
import { cleanWords, OciRuntimeError } from './words.ts'

test('reports of the monitor', () => {
  assert.deepEqual(parseReport('{"pid": 123}'), { value: 123, message: undefined })
  assert.deepEqual(parseReport('{"pid": -1, "message": "no \\"such\\" thing\\n"}'), { value: -1, message: 'no "such" thing\n' })
  assert.deepEqual(parseReport('{"data": 7}'), { value: 7, message: undefined })
  // conmon leaves 0x1f and bytes above 0x7f as they are, and writes some escapes that JSON does not have.
  assert.deepEqual(parseReport('{"pid": -1, "message": "a\x1fb"}'), { value: -1, message: 'a b' })
  assert.deepEqual(parseReport('{"pid": -1, "message": "a \\x b"}'), { value: -1, message: 'a \\x b' })
  for (const junk of ['', 'junk', '{}', '[]', 'null', '{"pid": "1"}', '{"pid": 1.5}']) assert.equal(parseReport(junk), undefined)
})

test('exit files', () => {
  for (const [text, code] of [
    ['0', 0],
    ['137\n', 137],
    ['255', 255],
    ['-1', 255],
    ['999', 255],
  ] as const)
    assert.equal(parseExitCode(text), code)
  for (const text of ['', ' ', 'x', '1x', '1 2', '0x10']) assert.equal(parseExitCode(text), undefined)
})

test('words of runtimes', () => {
  assert.equal(cleanWords('2026-11-20T12:00:00.000000Z: executable file `x` not found\n'), 'executable file `x` not found')
  assert.equal(cleanWords('time="2026-11-20T12:00:00Z" level=error msg="runc \\"x\\" failed"\n'), 'runc "x" failed')
  assert.equal(cleanWords('time="2026" level=debug msg="chatter"\nreal\n'), 'real')
  assert.equal(cleanWords('{"msg":"failed to load /nope: \\"x\\"","level":"error","time":"2026"}'), 'failed to load /nope: "x"')
  assert.equal(cleanWords('{"level":"debug","msg":"chatter"}\n{"msg":1}\n{"msg":'), '{"msg":1}; {"msg":')
  assert.equal(cleanWords('\x1b[31mred\x1b[0m\x00\x07 \xff\n\n'), 'red ÿ')
  assert.equal(cleanWords('same\nsame\nother'), 'same; other')
  assert.ok(cleanWords('x'.repeat(100_000)).length < 2100)
  assert.equal(cleanWords(Buffer.from([0xff, 0x41])), '\ufffdA')
  assert.equal(cleanWords(''), '')
})

test('words tell whose mistake it is', () => {
  for (const words of [
    'executable file `/nope` not found in $PATH: No such file or directory',
    'open executable: Operation not permitted',
    'runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory',
    'runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH',
  ])
    assert.equal(new OciRuntimeError('create', words).code, 'failed_precondition', words)
  for (const words of ['', 'cannot set memory limit', 'exec failed: something else'])
    assert.equal(new OciRuntimeError('create', words).code, 'internal', words)
  assert.equal(new OciRuntimeError('create', '', 3).message, 'create: the runtime exited with status 3 without a word')
})

test('cgroups of specs', () => {
  assert.equal(cgroupOf('/kubepods/pod1/c1', 'cgroupfs'), '/kubepods/pod1/c1')
  assert.equal(cgroupOf('c1', 'cgroupfs'), undefined)
  const slice = 'kubepods-besteffort-pod1.slice'
  assert.equal(
    cgroupOf(`${slice}:coracle:c1`, 'systemd'),
    '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/coracle-c1.scope',
  )
  assert.equal(cgroupOf(':coracle:c1', 'systemd'), '/system.slice/coracle-c1.scope')
  assert.equal(cgroupOf('-.slice::c1', 'systemd'), '/c1.scope')
  assert.equal(cgroupOf('/not/systemd', 'systemd'), undefined)
})

test('records', () => {
  const monitor = { pid: 5, startTime: '77' }
  assert.deepEqual(parseRecord(JSON.stringify({ boot: 'b', monitor, hooks: true, cgroup: '/c', logPath: '/l' })), {
    boot: 'b',
    monitor: { pid: 5, startTime: 77n },
    init: undefined,
    cgroup: '/c',
    hooks: true,
    logPath: '/l',
  })
  for (const text of ['', '{', '{}', 'null', '{"boot": 1}']) assert.equal(parseRecord(text), undefined)
  for (const value of [null, {}, { pid: 1 }, { pid: '1', startTime: '2' }, { pid: 1, startTime: 'x' }])
    assert.equal(parseIdentity(value), undefined)
})

test('status in the log of runc, status of containers', () => {
  const log =
    '{"level":"debug","msg":"x"}\n{"level":"debug","msg":"process exited","pid":12,"status":3}\n{"msg":"process exited","pi'
  assert.equal(parseExecStatus(log, 12), 3)
  assert.equal(parseExecStatus(log, 13), undefined)
  assert.equal(parseStatus('{"ociVersion": "1.0.0", "status": "running"}'), 'running')
  for (const text of ['', '{"stat', '{}', '[]']) assert.equal(parseStatus(text), undefined)
})

test('messages to the monitor are read one at a time', () => {
  for (const message of [controlMessage(1, 24, 80), controlMessage(2, 0, 0), controlMessage(1, 65535, 65535)]) {
    assert.equal(message.length, 199)
    assert.match(message, /^\d \d+ \d+ +\n$/)
  }
})

test('sockets fit into their addresses', () => {
  assert.equal(socketDirectoryFor('/run/coracle/runc'), '/run/coracle/s')
  const long = socketDirectoryFor(`/tmp/${'x'.repeat(100)}/runc`)
  assert.match(long, /^\/run\/coracle-s-[0-9a-f]{16}$/)
  assert.equal(long, socketDirectoryFor(`/tmp/${'x'.repeat(100)}/runc`))
})

test('updates merge', () => {
  const before = { memory: { limit: 1, swap: 2 }, cpu: { shares: 3 }, pids: { limit: 4 } }
  assert.deepEqual(mergeResources(before, { memory: { limit: 9 }, unified: { a: 'b' } }), {
    memory: { limit: 9, swap: 2 },
    cpu: { shares: 3 },
    pids: { limit: 4 },
    unified: { a: 'b' },
  })
})

describe('features', () => {
  test('versions', () => {
    assert.equal(parseVersion('crun version 1.8.1\ncommit: x'), '1.8.1')
    assert.equal(parseVersion('runc version 1.1.5+ds1\n'), '1.1.5+ds1')
    assert.equal(parseVersion('runsc version release-20260101.0\nspec: 1'), '20260101.0')
    assert.equal(parseVersion('something'), 'something')
    assert.ok(atLeast('1.10', '1.9') && atLeast('6.18.44-x', '5.12') && atLeast('5.12', '5.12') && !atLeast('1.8.1', '1.9'))
    assert.ok(!atLeast('junk', '1'))
  })

  test('told', () => {
    const told = { mountOptions: ['ro', 'rro', 3] }
    assert.deepEqual(parseFeatures(JSON.stringify(told), '6.1'), {
      recursiveReadOnlyMounts: true,
      mountOptions: ['ro', 'rro'],
    })
    assert.equal(parseFeatures(JSON.stringify(told), '5.10')?.recursiveReadOnlyMounts, false)
    for (const text of ['', '{', 'null', '{"mountOptions": 1}']) assert.equal(parseFeatures(text, '6.1'), undefined)
  })

  test('probed', () => {
    assert.equal(probedFeatures('crun', '1.8.1', '6.1').recursiveReadOnlyMounts, true)
    assert.equal(probedFeatures('runsc', '20260101', '6.1').recursiveReadOnlyMounts, false)
  })
})
