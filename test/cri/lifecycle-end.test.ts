// How containers end: exit codes and reasons, signals and grace, out of memory, a start that fails.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ContainerState, Signal } from '@coracle/cri-api'
import { needs } from './differences.ts'
import { assertRecent, elapsedMs } from './expect.ts'
import { type ContainerInit, criSuite } from './suite.ts'

const SECOND = 1_000
const shell = (script: string): ContainerInit => ({ command: ['sh', '-c', script] })
/** PID 1 that says what it got and ends with 7. */
const trapping = (signal: string) =>
  shell(`trap 'echo got ${signal}; exit 7' ${signal}; echo ready; while :; do sleep 0.05; done`)
const deaf = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")

criSuite('the end of a container', (cri) => {
  before(() => cri.image.pullImage({ image: { image: cri.images.entry } }))

  describe('by itself', () => {
    const endings: [string, string, number, string][] = [
      ['exit code 0 is Completed', 'exit 0', 0, 'Completed'],
      ['another is Error', 'exit 7', 7, 'Error'],
      ['255 is kept', 'exit 255', 255, 'Error'],
      ['a signal is 128 and its number', 'kill -SEGV $$; sleep 5', 139, 'Error'],
    ]
    for (const [what, script, exitCode, reason] of endings) {
      it(what, async () => {
        await using pod = await cri.pod({ linux: { securityContext: { namespaceOptions: { pid: 0 } } } })
        const pid = { linux: { securityContext: { namespaceOptions: { pid: 0 } } } }
        const { status } = await pod.shell(script, pid)
        assert.equal(status.exitCode, exitCode)
        assert.equal(status.reason, reason)
        assertRecent(status.finishedAt)
      })
    }

    it('its times never run backwards', needs('timeOrder'), async () => {
      await using pod = await cri.pod()
      for (let round = 0; round < 3; round++) {
        const { status } = await pod.shell('exit 0')
        assert.ok(status.finishedAt >= status.startedAt && status.startedAt >= status.createdAt)
      }
    })

    it('output written just before the end is in the log', async () => {
      await using pod = await cri.pod()
      const { output } = await pod.shell('seq 1 2000; printf "no line feed at the end"')
      assert.equal(output.split('\n').length, 2001)
      assert.ok(output.trimEnd().endsWith('no line feed at the end'))
    })

    it('leaves the other container of the pod running, and the pod ready', async () => {
      await using pod = await cri.pod()
      const other = await pod.run()
      await pod.shell('exit 1')
      assert.equal(await other.sh('echo alive'), 'alive')
      assert.equal((await pod.status()).state, 0)
    })

    it('takes what it left behind with it: no process of an ended container stays', async () => {
      await using pod = await cri.pod()
      const { status } = await pod.shell('sleep 98765 & exit 0')
      assert.equal(status.exitCode, 0)
      const probe = await pod.run({ linux: { securityContext: { namespaceOptions: { pid: 2 } } } })
      assert.equal(await probe.sh("ps | grep 'sleep 9876[5]' | wc -l"), '0')
    })
  })

  describe('by StopContainer', () => {
    it('sends SIGTERM, waits for the end, keeps its exit code', async () => {
      await using pod = await cri.pod()
      const container = await pod.run(trapping('TERM'))
      await container.logContains('ready')
      const took = await elapsedMs(() => container.stop(20))
      const status = await container.status()
      assert.equal(status.exitCode, 7)
      assert.ok(took < 5 * SECOND, `${took} ms`)
      await container.logContains('got TERM')
    })

    it("sends the image's StopSignal", async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ ...trapping('USR1'), image: { image: cri.images.entry } })
      await container.logContains('ready')
      await container.stop(20)
      assert.equal((await container.status()).exitCode, 7)
      await container.logContains('got USR1')
    })

    it('reports the signal in effect: that of the image, else SIGTERM', needs('stopSignalField'), async () => {
      await using pod = await cri.pod()
      const ofImage = await pod.create({ image: { image: cri.images.entry } })
      assert.equal((await ofImage.status()).stopSignal, Signal.SIGUSR1)
      assert.equal((await (await pod.create()).status()).stopSignal, Signal.SIGTERM)
    })

    it("sends the request's signal before the image's, and reports it", needs('stopSignalField'), async () => {
      await using pod = await cri.pod()
      const config = { ...trapping('USR2'), image: { image: cri.images.entry }, stopSignal: Signal.SIGUSR2 }
      const container = await pod.run(config)
      await container.logContains('ready')
      assert.equal((await container.status()).stopSignal, Signal.SIGUSR2)
      await container.stop(20)
      assert.equal((await container.status()).exitCode, 7)
    })

    it('kills after the grace', async () => {
      await using pod = await cri.pod()
      const container = await pod.run(deaf)
      await container.logContains('ready')
      const took = await elapsedMs(() => container.stop(2))
      const status = await container.status()
      assert.equal(status.exitCode, 137)
      assert.equal(status.reason, 'Error')
      assert.ok(took >= 1.9 * SECOND && took < 6 * SECOND, `${took} ms`)
    })

    it('kills at once with a grace of 0', async () => {
      await using pod = await cri.pod()
      const container = await pod.run(deaf)
      await container.logContains('ready')
      const took = await elapsedMs(() => container.stop(0))
      assert.equal((await container.status()).exitCode, 137)
      assert.ok(took < 2 * SECOND, `${took} ms`)
    })

    it('a second call with a shorter grace shortens the wait of both', needs('stopShortening'), async () => {
      await using pod = await cri.pod()
      const container = await pod.run(deaf)
      await container.logContains('ready')
      const took = await elapsedMs(async () => {
        const long = container.stop(60)
        await sleep(500)
        await container.stop(1)
        await long
      })
      assert.ok(took < 6 * SECOND, `${took} ms`)
      assert.equal((await container.status()).exitCode, 137)
    })

    it('kills also when the caller goes away', async () => {
      await using pod = await cri.pod()
      const container = await pod.run(deaf)
      await container.logContains('ready')
      const request = { containerId: container.id, timeout: 1n }
      await assert.rejects(cri.runtime.stopContainer(request, { timeoutMs: 200 }))
      const status = await container.exited(8 * SECOND).catch(async () => {
        // A caller whose call ended without an answer asks again.
        await container.stop(0)
        return container.status()
      })
      assert.equal(status.exitCode, 137)
    })

    it('ends every process of the container', async () => {
      await using pod = await cri.pod()
      const container = await pod.run(shell('sh -c "trap \\"\\" TERM; sleep 87654" & echo ready; wait'))
      await container.logContains('ready')
      await container.stop(1)
      const probe = await pod.run({ linux: { securityContext: { namespaceOptions: { pid: 2 } } } })
      assert.equal(await probe.sh("ps | grep 'sleep 8765[4]' | wc -l"), '0')
    })
  })

  describe('out of memory', () => {
    const limit = { linux: { resources: { memoryLimitInBytes: BigInt(24 << 20) } } }
    const hog = 'dd if=/dev/zero of=/dev/null bs=200M count=1'

    it('is OOMKilled, 137', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ command: ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=200M', 'count=1'], ...limit })
      const status = await container.exited()
      assert.equal(status.reason, 'OOMKilled')
      assert.equal(status.exitCode, 137)
    })

    it('is OOMKilled when only a child was killed', needs('childOom'), async () => {
      await using pod = await cri.pod()
      const { status } = await pod.shell(`${hog}; exit 3`, limit)
      assert.equal(status.reason, 'OOMKilled')
      assert.equal(status.exitCode, 3)
    })

    it('is not said of a container that was killed otherwise', async () => {
      await using pod = await cri.pod()
      const container = await pod.run({ ...deaf, ...limit })
      await container.stop(0)
      const status = await container.status()
      assert.equal(status.reason, 'Error')
      assert.equal(status.exitCode, 137)
    })
  })

  describe('a start that fails', () => {
    it("leaves an EXITED container: StartError, 128, the runtime's own words", async () => {
      await using pod = await cri.pod()
      const container = await pod.create({ command: ['/no/such/program'] })
      await assert.rejects(container.start(), /no such file|not found|no\/such\/program/i)
      const status = await container.status()
      assert.equal(status.state, ContainerState.CONTAINER_EXITED)
      assert.equal(status.reason, 'StartError')
      assert.equal(status.exitCode, 128)
      assert.match(status.message, /no such file|not found|no\/such\/program/i)
      assert.ok(status.finishedAt >= status.createdAt && status.finishedAt > 0n)
      await container.remove()
    })

    it('also for a file that is not a program', async () => {
      await using pod = await cri.pod()
      const container = await pod.create({ command: ['/etc/passwd'] })
      await assert.rejects(container.start(), /permission denied|exec format/i)
      assert.equal((await container.status()).reason, 'StartError')
    })
  })
})
