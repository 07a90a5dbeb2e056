import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@coracle/base/errors'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { Bed, never, runtimes } from './bed.ts'

const record = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([PF]) (.*)$/s

/** What the container wrote to a stream, put together from the log's records. Fails on a line that is none. */
function joined(log: string, stream = 'stdout'): string {
  let text = ''
  for (const line of log.split('\n').slice(0, -1)) {
    const match = record.exec(line)
    assert.ok(match, `torn record ${JSON.stringify(line.slice(0, 200))}`)
    if (match[1] === stream) text += (match[3] ?? '') + (match[2] === 'F' ? '\n' : '')
  }
  return text
}

for (const { name, program } of runtimes) {
  describe(`${name}: the log`, needsRoot(), () => {
    test('long lines come in parts, the last one without an end too', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', 'head -c 40000 /dev/zero | tr "\\0" a; echo; echo short; printf tail'] })
      await made.exit
      assert.equal(joined(made.log()), `${'a'.repeat(40000)}\nshort\ntail`)
      assert.ok(
        made
          .log()
          .split('\n')
          .every((line) => line.length <= 16 * 1024 + 64),
      )
    })

    test('mode 0640, made before the monitor; appended to, never followed', async () => {
      await using bed = new Bed(program)
      const logs = join(bed.directory, 'logs')
      mkdirSync(logs, { recursive: true })
      const victim = join(bed.directory, 'victim')
      writeFileSync(victim, 'precious')
      for (const path of ['a.log', 'b.log'].map((file) => join(logs, file))) symlinkSync(victim, path)
      await assert.rejects(bed.create({ args: ['echo', 'x'], request: { logPath: join(logs, 'a.log') } }), (err) => {
        assert.equal(codeOf(err), 'failed_precondition')
        assert.match(String(err), /symbolic link/)
        return true
      })
      // The name that a reopening monitor writes first.
      symlinkSync(victim, join(logs, 'c.log.tmp'))
      const made = await bed.run({
        args: ['sh', '-c', 'echo one; read x'],
        request: { logPath: join(logs, 'c.log'), stdin: true },
      })
      assert.equal(statSync(join(logs, 'c.log')).mode & 0o777, 0o640)
      symlinkSync(victim, join(logs, 'c.log.tmp'))
      await bed.runtime.reopenLog(made.paths, never)
      assert.equal(statSync(join(logs, 'c.log')).mode & 0o777, 0o640)
      assert.equal(readFileSync(victim, 'utf8'), 'precious')
    })

    test('no log at all', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', 'yes | head -c 1000000; exit 3'], request: { logPath: undefined } })
      assert.equal((await made.exit).exitCode, 3)
      await assert.rejects(bed.runtime.reopenLog(made.paths, never), /has no log/)
    })

    test('reopened under load: nothing lost, doubled or torn', async () => {
      await using bed = new Bed(program)
      const count = 60_000
      const padding = 'x'.repeat(90)
      const script = `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo $i ${padding}; done`
      const made = await bed.run({ args: ['sh', '-c', script] })
      const path = join(bed.directory, 'logs', `${made.paths.id}.log`)
      let ended = false
      void made.exit.then(() => {
        ended = true
      })
      const parts: string[] = []
      while (!ended && parts.length < 200) {
        const rotated = `${path}.${parts.length}`
        renameSync(path, rotated)
        parts.push(rotated)
        // It may have ended between the look and the reopening.
        await bed.runtime.reopenLog(made.paths, never).catch((err: unknown) => assert.match(String(err), /monitor/))
        await sleep(10)
      }
      await made.exit
      assert.ok(parts.length > 3, `${parts.length} rotations`)
      const text = joined([...parts, path].map((file) => read(file)).join(''))
      const numbers = text.trimEnd().split('\n')
      assert.equal(numbers.length, count)
      for (const [index, line] of numbers.entries()) assert.equal(line, `${index + 1} ${padding}`)
    })

    test('a log that cannot be made does not cost the monitor, and one removed with its directory comes back', async () => {
      await using bed = new Bed(program)
      const made = await bed.runReady({ args: ['sh', '-c', 'echo ready; while :; do sleep 0.05; echo more; done'] })
      const path = join(bed.directory, 'logs', `${made.paths.id}.log`)
      rmSync(path)
      mkdirSync(join(path, 'in-the-way'), { recursive: true })
      await assert.rejects(bed.runtime.reopenLog(made.paths, never), (err) => codeOf(err) === 'failed_precondition')
      assert.equal(existsSync(`${path}.tmp`), false)
      rmSync(dirname(path), { recursive: true })
      await bed.runtime.reopenLog(made.paths, never)
      await eventually('it is written to', () => made.log().includes('more'))
      assert.equal(existsSync(`${path}.tmp`), false)
      assert.equal(bed.runtime.inspect(made.paths).monitorAlive, true)
      await bed.runtime.kill(made.paths, 9, true)
      assert.equal((await made.exit).exitCode, 137)
    })

    test('a removed log comes back; concurrent reopenings are serial; an ended container refuses', async () => {
      await using bed = new Bed(program)
      const made = await bed.run({ args: ['sh', '-c', 'while :; do echo x; sleep 0.01; done'] })
      const path = join(bed.directory, 'logs', `${made.paths.id}.log`)
      rmSync(path)
      await Promise.all(Array.from({ length: 10 }, () => bed.runtime.reopenLog(made.paths, never)))
      await sleep(100)
      assert.match(readFileSync(path, 'utf8'), / stdout F x\n/)
      await bed.runtime.kill(made.paths, 9, true)
      await made.exit
      await sleep(50)
      await assert.rejects(bed.runtime.reopenLog(made.paths, never), (err) => codeOf(err) === 'failed_precondition')
    })
  })
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
