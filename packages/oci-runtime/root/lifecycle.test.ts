import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { needsRoot } from '@coracle/testkit/needs-root'
import { Bed, never, runtimes } from './bed.ts'

for (const { name, program } of runtimes) {
  describe(`${name}: the life of a container`, needsRoot(), () => {
    test('created, started, ended: exit code, time, log', async () => {
      await using bed = new Bed(program)
      const before = BigInt(Date.now() - 1000) * 1_000_000n
      const made = await bed.create({ args: ['sh', '-c', 'echo out; echo err >&2; exit 42'] })
      assert.equal(await bed.runtime.isStarted(made.paths), false)
      assert.deepEqual(bed.runtime.inspect(made.paths), { monitorAlive: true, pid: made.pid })
      await bed.runtime.start(made.paths, never)
      const exit = await made.exit
      assert.equal(exit.exitCode, 42)
      assert.equal(exit.oomKilled, false)
      assert.ok(exit.finishedAt > before && exit.finishedAt <= BigInt(Date.now() + 1000) * 1_000_000n)
      assert.deepEqual(bed.runtime.readExit(made.paths), exit)
      assert.equal(await bed.runtime.isStarted(made.paths), true)
      const streams = made
        .log()
        .split('\n')
        .filter(Boolean)
        .map((line) => line.replace(/^\S+ /, ''))
      assert.deepEqual(streams.toSorted(), ['stderr F err', 'stdout F out'])
      await bed.runtime.delete(made.paths)
      await bed.runtime.delete(made.paths)
      assert.deepEqual(bed.runtime.inspect(made.paths), { monitorAlive: false, pid: undefined })
    })

    test('an end by a signal is 128 + n, kill of what is gone succeeds', async () => {
      await using bed = new Bed(program)
      const made = await bed.runReady({ args: ['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done'] })
      await bed.runtime.kill(made.paths, 15, false)
      assert.equal((await made.exit).exitCode, 7)
      const other = await bed.run({ args: ['sleep', '1000'] })
      await bed.runtime.kill(other.paths, 9, true)
      assert.equal((await other.exit).exitCode, 137)
      await bed.runtime.kill(other.paths, 9, true)
    })

    test('100 that end at once all tell their code', async () => {
      await using bed = new Bed(program)
      for (let batch = 0; batch < 10; batch++) {
        const codes = await Promise.all(
          Array.from(
            { length: 10 },
            async (_, index) => (await (await bed.run({ args: ['sh', '-c', `exit ${index}`] })).exit).exitCode,
          ),
        )
        assert.deepEqual(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      }
    })

    test('a running one is deleted with everything in it', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', 'sleep 1000 & setsid sleep 1000 & sleep 1000'] })
      await bed.runtime.delete(made.paths)
      assert.equal(existsSync(`/proc/${made.pid}/ns`) && bed.host.processes.identify(made.pid) !== undefined, false)
    })

    test('processes of the host pid namespace are killed too', async () => {
      await using bed = new Bed(program)
      const paths = bed.paths()
      const base = bed.spec(paths.id, { args: ['sh', '-c', 'setsid sleep 1000 & sleep 1000'] })
      const namespaces = base.linux.namespaces.filter(({ type }) => type !== 'pid')
      const made = await bed.run({
        args: [],
        request: { paths },
        spec: { process: base.process, linux: { ...base.linux, namespaces } },
      })
      await bed.runtime.kill(made.paths, 9, true)
      assert.equal((await made.exit).exitCode, 137)
      assert.deepEqual(bed.host.cgroups.processes(`${bed.cgroupParent}/${paths.id}`), [])
    })

    test('a missing program fails with the words of the runtime, and leaves nothing', async () => {
      await using bed = new Bed(program)
      for (const [args, words] of [
        [['/nope'], /\/nope.*no such file/i],
        [['nope'], /nope.*not found/i],
        [['/etc'], /permission denied|not permitted/i],
      ] as const) {
        const paths = bed.paths()
        await assert.rejects(bed.create({ args, request: { paths } }), (err) => {
          assert.equal(codeOf(err), 'failed_precondition')
          assert.match(String(err), words)
          return true
        })
        assert.equal(bed.host.cgroups.exists(`${bed.cgroupParent}/${paths.id}`), false)
        assert.equal(existsSync(join(bed.directory, 'r', paths.id)), false)
      }
    })

    test('a bad spec fails with words, a taken id too', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      await assert.rejects(
        bed.create({ args: ['true'], spec: { root: { path: '/no/such/root', readonly: true } } }),
        /create container .*(no such|root)/i,
      )
      assert.equal(bed.runtime.inspect(made.paths).pid, made.pid)
    })

    test('another daemon finds, watches, kills and deletes it', async () => {
      await using bed = new Bed(program)
      const made = await bed.runReady({ args: ['sh', '-c', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.01; done'] })
      const second = bed.runtimeWith({ program })
      assert.deepEqual(second.inspect(made.paths), { monitorAlive: true, pid: made.pid })
      assert.equal(await second.isStarted(made.paths), true)
      const { promise, resolve } = Promise.withResolvers<number>()
      second.watchExit(made.paths, never, (exit) => resolve(exit.exitCode))
      await second.kill(made.paths, 15, false)
      assert.equal(await promise, 3)
      // What ended while no daemon was there is known at once.
      const third = bed.runtimeWith({ program })
      const late = Promise.withResolvers<number>()
      third.watchExit(made.paths, never, (exit) => late.resolve(exit.exitCode))
      assert.equal(await late.promise, 3)
      await third.delete(made.paths)
    })

    test('state directories of any length', async () => {
      await using bed = new Bed(program)
      const deep = join(bed.directory, 'x'.repeat(100), 'y'.repeat(100))
      const paths = { id: 'deep', bundle: join(deep, 'bundle'), state: join(deep, 'state') }
      const made = await bed.run({ args: ['sh', '-c', 'read x; exit 5'], request: { paths, terminal: true, stdin: true } })
      using attached = await bed.runtime.attach(made.paths)
      await attached.write(Buffer.from('\n'))
      assert.equal((await made.exit).exitCode, 5)
    })

    test('nothing of the daemon reaches the container', async () => {
      process.env['CANARY'] = 'leak'
      await using bed = new Bed(program)
      writeFileSync(join(bed.directory, 'secret'), 'x')
      const made = await bed.run({ args: ['sh', '-c', 'env; ls /proc/self/fd'] })
      await made.exit
      const words = made
        .log()
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split(' ').slice(3).join(' '))
      assert.equal(
        words.some((word) => word.includes('CANARY')),
        false,
      )
      // The shell's own directory listing is one more.
      assert.ok(
        words.filter((word) => /^\d+$/.test(word)).every((fd) => Number(fd) <= 3),
        words.join(),
      )
      delete process.env['CANARY']
    })

    test('version and features', async () => {
      await using bed = new Bed(program)
      assert.match(await bed.runtime.version(never), /^\d+\.\d+/)
      const features = await bed.runtime.features(never)
      assert.ok(features.mountOptions.includes('rbind'))
    })

    test('an aborted create leaves nothing', async () => {
      await using bed = new Bed(program)
      for (const afterMs of [0, 3, 8, 15, 25]) {
        const paths = bed.paths()
        const spec = bed.spec(paths.id, { args: ['sleep', '1000'] })
        const request = {
          paths,
          spec,
          logPath: undefined,
          stdin: false,
          stdinOnce: false,
          terminal: false,
          monitorCgroup: undefined,
        }
        const controller = new AbortController()
        setTimeout(() => controller.abort(new Error('caller left')), afterMs)
        const outcome = await bed.runtime.create(request, controller.signal).then(
          () => 'made',
          (err: unknown) => String(err),
        )
        if (outcome === 'made') await bed.runtime.delete(paths)
        assert.equal(bed.host.cgroups.exists(`${bed.cgroupParent}/${paths.id}`), false, outcome)
        assert.equal(existsSync(join(bed.directory, 'r', paths.id)), false, outcome)
      }
    })

    test('the monitor can have a cgroup of its own', async () => {
      await using bed = new Bed(program)
      const monitorCgroup = `${bed.cgroupParent}/monitors`
      const made = await bed.run({ args: ['sleep', '1000'], request: { monitorCgroup } })
      assert.equal(bed.host.cgroups.pathOf(made.monitorPid), monitorCgroup)
      assert.equal(bed.host.cgroups.pathOf(made.pid), `${bed.cgroupParent}/${made.paths.id}`)
    })
  })
}
