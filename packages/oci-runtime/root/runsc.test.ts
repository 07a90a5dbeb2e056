// gVisor below conmon. Its ptrace platform works everywhere, if slowly.
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { needsRoot } from '@coracle/testkit/needs-root'
import { Bed, locate, never, processOf } from './bed.ts'

const program = locate('runsc')
const gate = needsRoot()

describe('runsc', {
  skip: gate.skip || (program === undefined && process.env['TEST_ROOT'] === undefined ? 'runsc is not installed' : false),
}, () => {
  const options = { extraArguments: ['--platform=ptrace', '--network=none'] }

  test('create, start, exec, kill, delete', async () => {
    await using bed = new Bed(program ?? '', options)
    const made = await bed.create({ args: ['sh', '-c', 'echo hello; sleep 1000'] })
    // A sandbox without the pod's network runs as nobody, and is given its stdio.
    assert.deepEqual([statSync('/dev/null').uid, statSync('/dev/null').gid], [0, 0])
    assert.equal(await bed.runtime.isStarted(made.paths), false)
    await bed.runtime.start(made.paths, never)
    assert.equal(await bed.runtime.isStarted(made.paths), true)
    const session = await bed.runtime.exec(made.paths, { process: processOf(['sh', '-c', 'cat; exit 3']), stdin: true }, never)
    session.stdin?.end('hi')
    assert.equal((await session.stdout.toArray()).join(''), 'hi')
    assert.equal(await session.exited, 3)
    const endless = await bed.runtime.exec(made.paths, { process: processOf(['sleep', '2000']), stdin: false }, never)
    endless.stdout.resume()
    endless.stderr?.resume()
    await endless.terminate(false)
    assert.notEqual(await endless.exited, 0)
    const ps = await bed.runtime.exec(made.paths, { process: processOf(['ps', '-o', 'args']), stdin: false }, never)
    const running = (await ps.stdout.toArray()).join('')
    assert.match(running, /sleep 1000/)
    assert.doesNotMatch(running, /sleep 2000/)
    await bed.runtime.kill(made.paths, 9, true)
    assert.equal((await made.exit).exitCode, 137)
    assert.match(made.log(), / stdout F hello\n$/)
  })

  test('exit codes, signals that a program handles, words', async () => {
    await using bed = new Bed(program ?? '', options)
    const made = await bed.runReady({ args: ['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'] })
    await bed.runtime.kill(made.paths, 15, false)
    assert.equal((await made.exit).exitCode, 7)
    await assert.rejects(bed.run({ args: ['/nope'] }), /\/nope: no such file/)
  })

  test('exec with a terminal: size, input, status; what it started ends with it', async () => {
    await using bed = new Bed(program ?? '', options)
    const made = await bed.runReady({ args: ['sh', '-c', 'echo ready; sleep 1000'] })
    const process = processOf(['sh', '-c', 'read a; stty size; echo got $a; exit 5'], { terminal: true })
    const session = await bed.runtime.exec(made.paths, { process, stdin: true }, never)
    session.resize({ columns: 77, rows: 22 })
    await sleep(300)
    session.stdin?.write('hello\n')
    assert.match((await session.stdout.toArray()).join(''), /hello\r\n22 77\r\ngot hello\r\n$/)
    assert.equal(await session.exited, 5)
    const short = await bed.runtime.exec(
      made.paths,
      { process: processOf(['echo', 'hi'], { terminal: true }), stdin: false },
      never,
    )
    assert.equal((await short.stdout.toArray()).join(''), 'hi\r\n')
    assert.equal(await short.exited, 0)
    const sleeping = { process: processOf(['sleep', '2000'], { terminal: true }), stdin: false }
    const endless = await bed.runtime.exec(made.paths, sleeping, never)
    endless.stdout.resume()
    await endless.terminate(true)
    assert.notEqual(await endless.exited, 0)
    const ps = await bed.runtime.exec(made.paths, { process: processOf(['ps', '-o', 'args']), stdin: false }, never)
    assert.doesNotMatch((await ps.stdout.toArray()).join(''), /sleep 2000/)
    const nope = { process: processOf(['/nope'], { terminal: true }), stdin: false }
    await assert.rejects(bed.runtime.exec(made.paths, nope, never), /exec in container [^{]*: failed to load \/nope/)
  })

  test('execs of a daemon that is gone end with its successor, inside the sandbox, too', async () => {
    await using bed = new Bed(program ?? '', options)
    const made = await bed.runReady({ args: ['sh', '-c', 'echo ready; sleep 1000'] })
    for (const terminal of [false, true]) {
      const request = { process: processOf(['sleep', terminal ? '2001' : '2000'], { terminal }), stdin: false }
      const session = await bed.runtime.exec(made.paths, request, never)
      session.stdout.resume()
      session.stderr?.resume()
    }
    await bed.runtime.sweepExecs(made.paths)
    const ps = await bed.runtime.exec(made.paths, { process: processOf(['ps', '-o', 'args']), stdin: false }, never)
    const running = (await ps.stdout.toArray()).join('')
    assert.match(running, /sleep 1000/)
    assert.doesNotMatch(running, /sleep 200/)
  })

  test('deleted while it runs', async () => {
    await using bed = new Bed(program ?? '', options)
    const made = await bed.run({ args: ['sleep', '1000'] })
    await bed.runtime.delete(made.paths)
    assert.equal(bed.host.processes.identify(made.pid), undefined)
  })
})
