import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@coracle/base/errors'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import type { OciRuntime } from '../src/mod.ts'
import { Bed, type Made, never, processesWith, processOf, runtimes } from './bed.ts'

async function collect(runtime: OciRuntime, made: Made, args: readonly string[], input?: string) {
  const session = await runtime.exec(made.paths, { process: processOf(args), stdin: input !== undefined }, never)
  session.stdin?.end(input)
  const [out, err] = await Promise.all([session.stdout.toArray(), session.stderr?.toArray()])
  return { out: Buffer.concat(out).toString(), err: Buffer.concat(err ?? []).toString(), code: await session.exited }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length

for (const { name, program } of runtimes) {
  describe(`${name}: exec`, needsRoot(), () => {
    test('output, status, input', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const run = (args: readonly string[], input?: string) => collect(bed.runtime, made, args, input)
      assert.deepEqual(await run(['sh', '-c', 'echo out; echo err >&2; exit 3']), { out: 'out\n', err: 'err\n', code: 3 })
      assert.deepEqual(await run(['cat'], 'abc'), { out: 'abc', err: '', code: 0 })
      assert.deepEqual(await run(['sh', '-c', 'kill -9 $$']), { out: '', err: '', code: 137 })
      assert.deepEqual(await run(['true']), { out: '', err: '', code: 0 })
      // A pipe, not a socket: it can be opened by name.
      assert.deepEqual(await run(['sh', '-c', 'echo x > /dev/stdout; cat /dev/stdin'], 'y'), { out: 'x\ny', err: '', code: 0 })
      const big = await run(['sh', '-c', 'head -c 5000000 /dev/zero'])
      assert.equal(big.out.length, 5_000_000)
      await eventually('no files', () => readdirSync(join(made.paths.state, 'exec')).length === 0)
    })

    test('only the three standard descriptors', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const { out } = await collect(bed.runtime, made, ['ls', '/proc/self/fd'])
      assert.deepEqual(out.trim().split('\n'), ['0', '1', '2', '3'], 'three and the directory being listed')
    })

    test('a missing program is an error with words, not an exit', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      for (const terminal of [false, true]) {
        for (const args of [['/nope'], ['nope']])
          await assert.rejects(
            bed.runtime.exec(made.paths, { process: processOf(args, { terminal }), stdin: false }, never),
            (err) => {
              assert.equal(codeOf(err), 'failed_precondition')
              assert.match(String(err), /nope.*(not found|no such file)/i)
              return true
            },
          )
        const cwd = processOf(['true'], { terminal, cwd: '/no/cwd' })
        await assert.rejects(bed.runtime.exec(made.paths, { process: cwd, stdin: false }, never), /no\/cwd/)
      }
      await bed.runtime.kill(made.paths, 9, true)
      await made.exit
      await assert.rejects(
        bed.runtime.exec(made.paths, { process: processOf(['true']), stdin: false }, never),
        /exec in container/,
      )
    })

    test('a grandchild that holds the output does not hold the answer', async () => {
      await using bed = new Bed(program, { execDrainMs: 300 })
      const made = await bed.run({ args: ['sleep', '1000'] })
      const before = descriptors()
      const startedAt = performance.now()
      assert.deepEqual(await collect(bed.runtime, made, ['sh', '-c', 'sleep 100 & echo hi; exit 7']), {
        out: 'hi\n',
        err: '',
        code: 7,
      })
      assert.ok(performance.now() - startedAt < 3000)
      await eventually('descriptors are closed', () => descriptors() <= before)
    })

    test('output is held back while nobody reads', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const session = await bed.runtime.exec(made.paths, { process: processOf(['yes']), stdin: false }, never)
      await sleep(300)
      assert.ok(session.stdout.readableLength < 1024 * 1024)
      await session.terminate(false)
      assert.equal(await session.exited, 137)
    })

    test('terminate ends the whole tree, however it spread', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const script = 'sleep 1001 & setsid sleep 1002 & (setsid sleep 1003 &) ; trap "" HUP TERM; sleep 1004'
      for (const terminal of [false, true])
        for (const hangup of [false, true]) {
          const process = processOf(['sh', '-c', script], { terminal })
          const session = await bed.runtime.exec(made.paths, { process, stdin: false }, never)
          session.stdout.resume()
          session.stderr?.resume()
          await sleep(100)
          const startedAt = performance.now()
          await session.terminate(hangup)
          assert.ok(performance.now() - startedAt < 1500)
          const left = bed.host.cgroups.processes(`${bed.cgroupParent}/${made.paths.id}`).filter((pid) => pid !== made.pid)
          assert.equal(left.length, 0, `${left.length} left, terminal ${terminal}, hangup ${hangup}`)
          assert.notEqual(await session.exited, 0)
        }
    })

    test('a terminal: size, input, status', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const process = processOf(['sh', '-c', 'read a; stty size; echo got $a; exit 5'], { terminal: true })
      const session = await bed.runtime.exec(made.paths, { process, stdin: true }, never)
      assert.equal(session.stderr, undefined)
      session.resize({ columns: 10, rows: 10 })
      session.resize({ columns: 77, rows: 22 })
      await sleep(100)
      session.stdin?.write('hello\n')
      const out = Buffer.concat(await session.stdout.toArray()).toString()
      assert.match(out, /hello\r\n22 77\r\ngot hello\r\n$/)
      assert.equal(await session.exited, 5)
    })

    test('a terminal of a command that ends at once: its output arrives', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      for (let i = 0; i < 10; i++) {
        const process = processOf(['echo', 'hello'], { terminal: true })
        const session = await bed.runtime.exec(made.paths, { process, stdin: false }, never)
        assert.equal(Buffer.concat(await session.stdout.toArray()).toString(), 'hello\r\n')
        assert.equal(await session.exited, 0)
      }
    })

    test('200 execs, 10 at once: no descriptor and no process is left', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      await collect(bed.runtime, made, ['true'])
      const before = descriptors()
      const worker = async (id: number) => {
        for (let i = 0; i < 20; i++) {
          const text = `${id}-${i}`
          assert.deepEqual(await collect(bed.runtime, made, ['sh', '-c', `echo ${text}; exit ${i}`]), {
            out: `${text}\n`,
            err: '',
            code: i,
          })
        }
      }
      await Promise.all(Array.from({ length: 10 }, (_, id) => worker(id)))
      await eventually('descriptors are closed', () => descriptors() <= before)
      assert.deepEqual(bed.host.cgroups.processes(`${bed.cgroupParent}/${made.paths.id}`), [made.pid])
      await eventually('no files', () => readdirSync(join(made.paths.state, 'exec')).length === 0)
      assert.equal(processesWith(` exec --process`).filter((line) => line.includes(bed.directory)).length, 0)
    })

    test('an aborted exec leaves nothing', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      for (const terminal of [false, true])
        for (let afterMs = 0; afterMs <= 60; afterMs += 3) {
          const controller = new AbortController()
          setTimeout(() => controller.abort(new Error('caller left')), afterMs)
          // Deaf to what the end of a terminal sends: that must not be what ends it.
          const process = processOf(['sh', '-c', 'trap "" HUP; sleep 1001 & sleep 1002'], { terminal })
          const request = { process, stdin: false }
          const session = await bed.runtime.exec(made.paths, request, controller.signal).catch(() => undefined)
          await session?.terminate(false)
          session?.stdout.resume()
          session?.stderr?.resume()
          await eventually(
            'only init is left',
            () => bed.host.cgroups.processes(`${bed.cgroupParent}/${made.paths.id}`).length === 1,
          )
        }
      await eventually('no files', () => readdirSync(join(made.paths.state, 'exec')).length === 0)
    })

    test('a later daemon ends what an earlier one left', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const script = 'sleep 1001 & setsid sleep 1002 & sleep 1003'
      for (const terminal of [false, true]) {
        const session = await bed.runtime.exec(
          made.paths,
          { process: processOf(['sh', '-c', script], { terminal }), stdin: false },
          never,
        )
        session.stdout.resume()
        session.stderr?.resume()
      }
      await sleep(100)
      await bed.runtimeWith({ program }).sweepExecs(made.paths)
      await eventually('only init is left', () => bed.host.cgroups.processes(`${bed.cgroupParent}/${made.paths.id}`).length === 1)
      assert.deepEqual(readdirSync(join(made.paths.state, 'exec')), [])
    })
  })
}
