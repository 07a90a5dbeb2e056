// The log of a container: its format, long lines, streams, terminals, and reopening under load (ReopenContainerLog).
import assert from 'node:assert/strict'
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '@coracle/testkit/eventually'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { criSuite, joinLog, parseLog } from './suite.ts'

const UNKNOWN_ID = '0123456789abcdef'.repeat(4)

criSuite('the log of a container', (cri) => {
  describe('format', () => {
    it('has time, stream, tag and text in each line, stdout and stderr apart', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({
        command: ['sh', '-c', 'echo out; sleep 0.2; echo err >&2; sleep 0.2; echo; echo " a  b "'],
      })
      await container.exited()
      const lines = container.log()
      assert.deepEqual(
        lines.map(({ stream, tag, text }) => `${stream} ${tag} ${text}`),
        ['stdout F out', 'stderr F err', 'stdout F ', 'stdout F  a  b '],
      )
      const times = lines.map(({ time }) => Date.parse(time))
      assert.deepEqual(times, times.toSorted())
      assert.ok(Math.abs((times[0] ?? 0) - Date.now()) < 60_000)
    })

    it('cuts long lines into partial ones that join again', async () => {
      await using pod = await cri.pod()
      const { output } = await pod.shell("head -c 100000 /dev/zero | tr '\\0' x; echo; echo short")
      assert.equal(output, `${'x'.repeat(100_000)}\nshort\n`)
      // The second look: by lines.
      const container = await pod.run({ command: ['sh', '-c', "head -c 50000 /dev/zero | tr '\\0' y; echo"] })
      await container.exited()
      const lines = container.log()
      assert.ok(lines.length > 1)
      assert.deepEqual(new Set(lines.slice(0, -1).map(({ tag }) => tag)), new Set(['P']))
      assert.equal(lines.at(-1)?.tag, 'F')
      for (const { text } of lines) assert.ok(text.length <= 16_384, `a line of ${text.length} bytes`)
    })

    it('keeps a last line without a line feed', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['printf', 'one\\ntwo'] })
      await container.exited()
      assert.deepEqual(
        container.log().map(({ text }) => text),
        ['one', 'two'],
      )
    })

    it('keeps bytes as they are', needs('logBytes'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['printf', '\\377\\001\\015\\n'] })
      await container.exited()
      const bytes = readFileSync(container.logFile)
      assert.ok(bytes.includes(Buffer.from([0xff, 0x01, 0x0d, 0x0a])), bytes.toString('hex'))
    })

    it('of a terminal is all stdout', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ tty: true, command: ['sh', '-c', 'tty; echo err >&2; echo TERM=$TERM'] })
      await container.exited()
      const lines = container.log()
      assert.deepEqual(new Set(lines.map(({ stream }) => stream)), new Set(['stdout']))
      const text = lines.map((line) => line.text).join('\n')
      assert.match(text, /\/dev\/(pts\/0|console)/)
      assert.match(text, /err/)
      assert.match(text, /TERM=xterm/)
    })

    it('is not written without a log directory', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ logPath: '', command: ['echo', 'unheard'] })
      const { logPath } = await container.exited()
      assert.ok(logPath === '' || !existsSync(logPath) || logPath === pod.config.logDirectory)
    })

    it('may lie in a directory below', async () => {
      await using pod = await cri.pod()
      const { output } = await pod.shell('echo deep', { logPath: 'name/0.log' }).catch(async () => {
        // A runtime need not make the directory: kubelet does.
        const { mkdirSync } = await import('node:fs')
        mkdirSync(`${pod.config.logDirectory}/name`, { recursive: true })
        return pod.shell('echo deep', { logPath: 'name/0.log' })
      })
      assert.equal(output, 'deep\n')
    })
  })

  describe('ReopenContainerLog', () => {
    it('makes a new file at the path, and loses no line', async () => {
      await using pod = await cri.pod()
      const script = 'i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; sleep 1000'
      const container = await pod.run({ command: ['sh', '-c', script] })
      const rotated: string[] = []
      for (let round = 0; round < 5; round++) {
        await sleep(20)
        const away = `${container.logFile}.${round}`
        renameSync(container.logFile, away)
        rotated.push(away)
        await cri.runtime.reopenContainerLog({ containerId: container.id })
        assert.ok(existsSync(container.logFile))
      }
      const files = [...rotated, container.logFile]
      const all = () =>
        joinLog(files.flatMap((file) => parseLog(readFileSync(file, 'utf8'))))
          .split('\n')
          .slice(0, -1)
      await eventually('all lines are there', () => all().length >= 4000)
      assert.deepEqual(
        all(),
        Array.from({ length: 4000 }, (_, n) => `line ${n}`),
      )
    })

    it('recreates a log that somebody deleted', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['sh', '-c', 'while :; do echo tick; sleep 0.1; done'] })
      await container.logContains('tick')
      rmSync(container.logFile)
      await cri.runtime.reopenContainerLog({ containerId: container.id })
      assert.ok(existsSync(container.logFile))
      await container.logContains('tick')
    })

    it('refuses a container that does not run, and makes no file for it', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['true'] })
      await container.exited()
      rmSync(container.logFile)
      await assert.rejects(cri.runtime.reopenContainerLog({ containerId: container.id }))
      assert.ok(!existsSync(container.logFile))
    })

    it('says failed_precondition for it', needs('notRunningCode'), async () => {
      await using pod = await cri.pod()
      const container = await pod.create()
      await failsWith('failed_precondition', cri.runtime.reopenContainerLog({ containerId: container.id }))
    })

    it('answers NotFound for an unknown id', async () => {
      await failsWith('not_found', cri.runtime.reopenContainerLog({ containerId: UNKNOWN_ID }))
    })
  })
})
