import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import type { AttachSession } from '../src/mod.ts'
import { Bed, never, runtimes } from './bed.ts'

async function all(session: AttachSession): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' }
  for await (const { stream, data } of session.output) text[stream] += data.toString()
  return text
}

const reader = 'while read l; do echo got $l; echo err $l >&2; done; echo eof; exit 4'

for (const { name, program } of runtimes) {
  describe(`${name}: attach`, needsRoot(), () => {
    test('stdin once: the end of the first input is the end of the container’s', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', reader], request: { stdin: true, stdinOnce: true } })
      using session = await bed.runtime.attach(made.paths)
      const output = all(session)
      await session.write(Buffer.from('one\ntwo\n'))
      session.endInput()
      assert.deepEqual(await output, { stdout: 'got one\ngot two\neof\n', stderr: 'err one\nerr two\n' })
      assert.equal((await made.exit).exitCode, 4)
    })

    test('stdin not once: input goes on with the next client', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', reader], request: { stdin: true, stdinOnce: false } })
      for (const word of ['one', 'two']) {
        using session = await bed.runtime.attach(made.paths)
        await session.write(Buffer.from(`${word}\n`))
        session.endInput()
        await eventually('it was read', () => made.log().includes(`got ${word}`), { intervalMs: 5 })
      }
      assert.equal(made.log().includes('eof'), false)
      assert.notEqual(bed.runtime.inspect(made.paths).pid, undefined)
    })

    test('much input arrives whole', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['wc', '-c'], request: { stdin: true, stdinOnce: true } })
      using session = await bed.runtime.attach(made.paths)
      const output = all(session)
      for (let i = 0; i < 20; i++) await session.write(Buffer.alloc(100_000, 97))
      session.endInput()
      assert.equal((await output).stdout.trim(), '2000000')
    })

    test('a client that does not read does not stop the container', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({
        args: ['sh', '-c', 'read x; head -c 30000000 /dev/zero | tr "\\0" "\\n"; exit 6'],
        request: { stdin: true, logPath: undefined },
      })
      using idle = await bed.runtime.attach(made.paths)
      await idle.write(Buffer.from('go\n'))
      assert.equal((await made.exit).exitCode, 6)
    })

    test('a terminal: sizes in a storm, the last one wins', async () => {
      await using bed = new Bed(program)
      const script = 'read x; stty size; read y; stty size'
      const made = await bed.run({ args: ['sh', '-c', script], request: { stdin: true, terminal: true } })
      using session = await bed.runtime.attach(made.paths)
      const output = all(session)
      await bed.runtime.resize(made.paths, { columns: 100, rows: 40 })
      await sleep(50)
      await session.write(Buffer.from('one\n'))
      await eventually('first size', () => made.log().includes('40 100'), { intervalMs: 5 })
      await Promise.all(Array.from({ length: 1000 }, (_, i) => bed.runtime.resize(made.paths, { columns: 100 + i, rows: 50 })))
      await sleep(50)
      await session.write(Buffer.from('two\n'))
      assert.match((await output).stdout, /one\r\n40 100\r\ntwo\r\n50 1099\r\n$/)
      assert.equal((await made.exit).exitCode, 0)
    })

    test('after the end there is nothing to attach to', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['true'] })
      await made.exit
      await eventually('monitor is gone', () => !bed.runtime.inspect(made.paths).monitorAlive)
      await assert.rejects(bed.runtime.attach(made.paths))
    })
  })

  describe(`${name}: update`, needsRoot(), () => {
    test('limits change, while created and while running; a refused one changes nothing', async () => {
      await using bed = new Bed(program)
      const mib = 1024 * 1024
      const made = await bed.create({ args: ['sleep', '1000'], resources: { memory: { limit: 64 * mib }, cpu: { shares: 512 } } })
      const limits = () => bed.limits(made.paths.id)
      assert.deepEqual(limits(), { memory: 64 * mib, shares: 512 })
      await bed.runtime.update(made.paths, { memory: { limit: 96 * mib } }, never)
      assert.deepEqual(limits(), { memory: 96 * mib, shares: 512 })
      await bed.runtime.start(made.paths, never)
      await bed.runtime.update(made.paths, { cpu: { shares: 1024 }, memory: { limit: 128 * mib } }, never)
      assert.deepEqual(limits(), { memory: 128 * mib, shares: 1024 })
      // Far too long a period for the kernel: the shares that came with it must not stay.
      await assert.rejects(
        bed.runtime.update(made.paths, { cpu: { shares: 2048, period: 99_000_000, quota: 50_000 } }, never),
        /update container/,
      )
      assert.deepEqual(limits(), { memory: 128 * mib, shares: 1024 })
    })
  })
}
