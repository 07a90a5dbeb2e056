import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { libc } from './libc.ts'
import { descendants, identify } from './proc.ts'
import { decodeStatus } from './reaper.ts'
import { run, start, uncollected } from './spawn.ts'

const { signal } = new AbortController()
const shell = (script: string) => ['/bin/sh', '-c', script] as const
const openFds = () => readdirSync('/proc/self/fd').length

test('run() gives the exit code and both outputs, and nothing of our environment', async () => {
  process.env['CORACLE_SECRET'] = 'x'
  const result = await run({ argv: shell('env; echo err >&2; exit 3'), env: { A: 'b' }, timeoutMs: 5000, signal })
  delete process.env['CORACLE_SECRET']
  assert.equal(result.exitCode, 3)
  assert.equal(result.stderr.toString(), 'err\n')
  assert.match(result.stdout.toString(), /^A=b$/m)
  assert.doesNotMatch(result.stdout.toString(), /SECRET/)
})

test('run() keeps the cap and drains the rest', async () => {
  const result = await run({
    argv: shell('head -c 5000000 /dev/zero; echo end >&2'),
    maxOutputBytes: 1000,
    timeoutMs: 10_000,
    signal,
  })
  assert.equal(result.exitCode, 0)
  assert.equal(result.stdout.length, 1000)
  assert.equal(result.stderr.toString(), 'end\n')
  assert.equal(result.truncated, true)
})

test('run() kills the whole group at the timeout', async () => {
  const before = performance.now()
  const marker = `300.${process.pid}`
  await assert.rejects(
    run({ argv: shell(`sleep ${marker} & sleep ${marker}`), timeoutMs: 100, signal }),
    (err) => codeOf(err) === 'deadline_exceeded',
  )
  assert.ok(performance.now() - before < 2000)
  const left = await run({
    argv: shell(`grep -slza ${marker} /proc/[0-9]*/cmdline | grep -v "/$$/" || true`),
    timeoutMs: 5000,
    signal,
  })
  const alive = left.stdout
    .toString()
    .split('\n')
    .filter((path) => path !== '' && identify(Number(path.split('/')[2])) !== undefined)
  // Only the search itself has the marker in its arguments.
  assert.deepEqual(alive, [])
})

test('run() rejects with the reason of its signal', async () => {
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('enough')), 50)
  await assert.rejects(run({ argv: ['/bin/sleep', '10'], timeoutMs: 5000, signal: controller.signal }), /enough/)
  await assert.rejects(run({ argv: ['/bin/true'], timeoutMs: 5000, signal: controller.signal }), /enough/)
  assert.equal(uncollected(), 0)
})

test('run() does not wait for a grandchild that holds the pipe', async () => {
  const before = performance.now()
  const result = await run({ argv: shell('sleep 5 & echo done'), timeoutMs: 4000, signal })
  assert.equal(result.stdout.toString(), 'done\n')
  assert.ok(performance.now() - before < 2000)
})

test('run() is quiet when the program does not read its input', async () => {
  const result = await run({ argv: ['/bin/true'], stdin: Buffer.alloc(1_000_000), timeoutMs: 5000, signal })
  assert.equal(result.exitCode, 0)
})

test('run() tells what cannot be started, never as not_found', async () => {
  const codes = async (program: string) =>
    codeOf(await run({ argv: [program], timeoutMs: 1000, signal }).catch((err: unknown) => err))
  assert.equal(await codes('/does/not/exist'), 'failed_precondition')
  assert.equal(await codes('/etc'), 'failed_precondition')
  assert.equal(await codes('true'), 'invalid_argument')
  assert.equal(await codes('/bin/a\0b'), 'invalid_argument')
})

test('start() passes fds, and its handle kills and collects', async () => {
  const child = await start({ argv: ['/bin/sleep', '60'], stdio: ['ignore', 'ignore', 'ignore'] })
  assert.equal(child.kill(0), true)
  await child[Symbol.asyncDispose]()
  assert.deepEqual(await child.exited, { exitCode: null, signal: 'SIGKILL' })
  assert.equal(child.kill('SIGTERM'), false)
  assert.equal(identify(child.pid), undefined)
})

test('start() gives a child exactly the fds that were asked for', async () => {
  // Not close-on-exec, as inherited ones are; and targets that cross.
  const careless = libc.fcntl(1, 0, 50)
  const a = openSync('/etc/hostname', 'r')
  const b = openSync('/etc/passwd', 'r')
  const script = 'for fd in /proc/self/fd/*; do readlink $fd; done; true'
  await using child = await start({ argv: shell(script), stdio: ['ignore', 'pipe', 'ignore', b, a, 'pipe'] })
  for (const fd of [careless, a, b]) closeSync(fd)
  const stdout = child.stdio[1]
  assert.ok(stdout && 'on' in stdout)
  let text = ''
  stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  assert.equal((await child.exited).exitCode, 0)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const links = text.trim().split('\n')
  assert.equal(links[0], '/dev/null')
  assert.match(links[1] ?? '', /^pipe:/)
  assert.deepEqual(links.slice(2, 5), ['/dev/null', '/etc/passwd', '/etc/hostname'])
  assert.match(links[5] ?? '', /^socket:/)
  // The directory that readlink's shell listed is gone by then.
  assert.deepEqual(
    links.slice(6).filter((link) => !link.startsWith('/proc/')),
    [],
  )
})

test('start() gives default signal handling, its own session, and the directory', async () => {
  const result = await run({ argv: shell('pwd; ps -o sid= -p $$; echo $$'), timeoutMs: 5000, signal })
  const [pwd, sid, pid] = result.stdout.toString().trim().split('\n')
  assert.equal(pwd, '/')
  assert.equal(sid?.trim(), pid)
  // Not by way of a shell: it blocks signals for moments while it waits for its children.
  const status = await run({ argv: ['/bin/grep', '-E', 'SigIgn|SigBlk', '/proc/self/status'], timeoutMs: 5000, signal })
  const [blocked, ignored] = status.stdout.toString().trim().split('\n')
  assert.match(blocked ?? '', /^SigBlk:\s+0000000000000000$/)
  assert.match(ignored ?? '', /^SigIgn:\s+0000000000000000$/)
})

test('run() takes many and long arguments', async () => {
  const words = Array.from({ length: 1500 }, () => 'x'.repeat(1000))
  const result = await run({ argv: ['/bin/sh', '-c', 'echo $#', 'sh', ...words], timeoutMs: 5000, signal })
  assert.equal(result.stdout.toString(), '1500\n')
  const huge = run({ argv: ['/bin/true', 'x'.repeat(200_000)], timeoutMs: 5000, signal })
  await assert.rejects(huge, (err) => codeOf(err) === 'invalid_argument')
})

test('many programs at once are all collected', async () => {
  const results = await Promise.all(
    Array.from({ length: 60 }, (_, i) => run({ argv: shell(`exit ${i}`), timeoutMs: 20_000, signal })),
  )
  assert.deepEqual(
    results.map(({ exitCode }) => exitCode),
    Array.from({ length: 60 }, (_, i) => i),
  )
  assert.deepEqual(descendants(process.pid), [])
})

test('children of the event loop itself do not hide ours', async () => {
  const theirs = Array.from({ length: 20 }, (_, i) => {
    const child = spawn('/bin/sh', ['-c', `exit ${i}`])
    return new Promise((resolve) => child.on('exit', resolve))
  })
  const ours = theirs.map((_, i) => run({ argv: shell(`exit ${i}`), timeoutMs: 20_000, signal }))
  const codes = theirs.map((_, i) => i)
  assert.deepEqual(await Promise.all(theirs), codes)
  assert.deepEqual(
    (await Promise.all(ours)).map(({ exitCode }) => exitCode),
    codes,
  )
})

test('decodeStatus() tells exits from signals', () => {
  assert.deepEqual(decodeStatus(0x0300), { exitCode: 3, signal: null })
  assert.deepEqual(decodeStatus(9), { exitCode: null, signal: 'SIGKILL' })
  assert.deepEqual(decodeStatus(0x80 | 6), { exitCode: null, signal: 'SIGABRT' })
  assert.deepEqual(decodeStatus(40), { exitCode: null, signal: 'SIG40' })
})

test('run() leaves no fd open', async () => {
  await run({ argv: ['/bin/true'], timeoutMs: 5000, signal })
  const before = openFds()
  for (let i = 0; i < 10; i++) await run({ argv: shell('echo x'), stdin: 'y', timeoutMs: 5000, signal })
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(openFds(), before)
})
