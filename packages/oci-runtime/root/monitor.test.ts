import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { Bed, never, processOf, runtimes } from './bed.ts'

for (const { name, program } of runtimes) {
  describe(`${name}: a monitor that fails`, needsRoot(), () => {
    test('killed: the container is adopted, can be exec-ed into, killed, and its code is lost', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      process.kill(made.monitorPid, 'SIGKILL')
      await eventually('monitor is gone', () => !bed.runtime.inspect(made.paths).monitorAlive)
      assert.equal(bed.runtime.inspect(made.paths).pid, made.pid)
      const session = await bed.runtime.exec(made.paths, { process: processOf(['echo', 'alive']), stdin: false }, never)
      assert.equal((await session.stdout.toArray()).join(''), 'alive\n')
      await assert.rejects(bed.runtime.resize(made.paths, { columns: 1, rows: 1 }), /monitor/)
      await assert.rejects(bed.runtime.reopenLog(made.paths, never), /monitor/)
      const startedAt = performance.now()
      await bed.runtime.kill(made.paths, 9, true)
      const exit = await made.exit
      assert.equal(exit.exitCode, 255)
      assert.ok(performance.now() - startedAt < 5000)
    })

    test('killed together with the container: the end is known within 5 s', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      process.kill(made.monitorPid, 'SIGKILL')
      process.kill(made.pid, 'SIGKILL')
      const startedAt = performance.now()
      assert.equal((await made.exit).exitCode, 255)
      assert.ok(performance.now() - startedAt < 5000)
    })

    test('killed while another daemon watches', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      const second = bed.runtimeWith({ program })
      const { promise, resolve } = Promise.withResolvers<number>()
      second.watchExit(made.paths, never, (exit) => resolve(exit.exitCode))
      process.kill(made.monitorPid, 'SIGKILL')
      await second.kill(made.paths, 9, true)
      assert.equal(await promise, 255)
    })

    test('stopped: the container can be killed, the code is told after all', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      process.kill(made.monitorPid, 'SIGSTOP')
      await bed.runtime.kill(made.paths, 9, true)
      assert.equal((await made.exit).exitCode, 137)
    })

    test('deleted with the monitor stopped or dead', async () => {
      await using bed = new Bed(program)
      for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
        const made = await bed.run({ args: ['sleep', '1000'] })
        process.kill(made.monitorPid, signal)
        await bed.runtime.delete(made.paths)
        assert.equal(bed.host.processes.identify(made.monitorPid), undefined)
        assert.equal(bed.host.processes.identify(made.pid), undefined)
      }
    })

    test('the record is lost: delete still cleans, kill still kills', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'] })
      rmSync(join(made.paths.state, 'record.json'))
      await bed.runtime.kill(made.paths, 9, true)
      assert.equal((await made.exit).exitCode, 137)
      await bed.runtime.delete(made.paths)
    })
  })

  describe(`${name}: lack of memory`, needsRoot(), () => {
    const resources = { memory: { limit: 24 * 1024 * 1024, swap: 24 * 1024 * 1024 } }
    const hog = 'dd if=/dev/zero of=/tmp/x bs=1M count=100'

    test('of the main process', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', `exec ${hog}`], resources })
      assert.deepEqual({ ...(await made.exit), finishedAt: 0n }, { exitCode: 137, finishedAt: 0n, oomKilled: true })
    })

    test('of a child', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', `${hog}; exit 9`], resources })
      assert.deepEqual({ ...(await made.exit), finishedAt: 0n }, { exitCode: 9, finishedAt: 0n, oomKilled: true })
    })

    test('of an exec, and of nobody', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sleep', '1000'], resources })
      const calm = await bed.run({ args: ['sleep', '1000'], resources })
      const session = await bed.runtime.exec(made.paths, { process: processOf(['sh', '-c', `exec ${hog}`]), stdin: false }, never)
      session.stdout.resume()
      session.stderr?.resume()
      assert.equal(await session.exited, 137)
      for (const { paths } of [made, calm]) await bed.runtime.kill(paths, 9, true)
      assert.equal((await made.exit).oomKilled, true)
      assert.equal((await calm.exit).oomKilled, false)
    })
  })
}
