// What a caller finds whose call took too long: its retry joins the call in flight, nothing half-made is ever listed,
// and a network that fails is undone.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { PodSandboxState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { type PluginFaults, pluginCalls, setFaults } from '@coracle/testkit/faulty-plugin'
import { run } from '@coracle/testkit/program'
import { slowRegistry } from '@coracle/testkit/slow-registry'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { criSuite } from './suite.ts'

criSuite(
  'calls that take long or fail half-way',
  (cri) => {
    const faults = (wanted: PluginFaults) => setFaults(cri.node.world.directory, wanted)
    const calls = () => pluginCalls(cri.node.world.directory)
    afterEach(async () => {
      faults({})
      await cri.node.clear()
    })

    describe('RunPodSandbox', needs('joins'), () => {
      it('a retry after the deadline gets the pod of the first call', async () => {
        faults({ addDelayMs: 2_000 })
        const before = calls().length
        const config = cri.podConfig()
        await failsWith('deadline_exceeded', cri.runtime.runPodSandbox({ config }, { timeoutMs: 500 }))
        assert.deepEqual((await cri.runtime.listPodSandbox({})).items, [], 'nothing half-made is listed')
        const { podSandboxId } = await cri.runtime.runPodSandbox({ config })
        const { items } = await cri.runtime.listPodSandbox({})
        assert.deepEqual(
          items.map(({ id }) => id),
          [podSandboxId],
        )
        assert.equal(
          calls()
            .slice(before)
            .filter((line) => line.startsWith('ADD')).length,
          1,
        )
      })

      it('a retry after the first has finished unheard gets its pod too', async () => {
        faults({ addDelayMs: 1_000 })
        const config = cri.podConfig()
        await failsWith('deadline_exceeded', cri.runtime.runPodSandbox({ config }, { timeoutMs: 300 }))
        await sleep(2_500)
        const { podSandboxId } = await cri.runtime.runPodSandbox({ config })
        const { status } = await cri.runtime.podSandboxStatus({ podSandboxId })
        assert.equal(status?.state, PodSandboxState.SANDBOX_READY)
        assert.equal((await cri.runtime.listPodSandbox({})).items.length, 1)
      })

      it('the same request side by side gives one pod', async () => {
        faults({ addDelayMs: 500 })
        const config = cri.podConfig()
        const answers = await Promise.all([1, 2, 3].map(() => cri.runtime.runPodSandbox({ config })))
        assert.equal(new Set(answers.map(({ podSandboxId }) => podSandboxId)).size, 1)
      })

      it('another request under the same name is told so', async () => {
        faults({ addDelayMs: 500 })
        const config = cri.podConfig()
        const first = cri.runtime.runPodSandbox({ config })
        await sleep(100)
        const other = { ...config, hostname: 'other' }
        const outcome = await cri.runtime.runPodSandbox({ config: other }).then(
          () => 'ok',
          (err: { code?: string }) => err.code,
        )
        assert.ok(['already_exists', 'aborted'].includes(outcome ?? ''), `${outcome}`)
        await first
      })

      it('other pods do not wait for it', async () => {
        faults({ addDelayMs: 3_000 })
        const slow = cri.pod()
        await sleep(300)
        faults({})
        const start = performance.now()
        await using _quick = await cri.pod()
        assert.ok(performance.now() - start < 2_500)
        await (await slow)[Symbol.asyncDispose]()
      })
    })

    describe('CreateContainer and PullImage', needs('joins'), () => {
      it('the same CreateContainer side by side gives one container', async () => {
        await using pod = await cri.pod()
        const config = pod.containerConfig()
        const request = { podSandboxId: pod.id, config, sandboxConfig: pod.config }
        const answers = await Promise.all([1, 2, 3].map(() => cri.runtime.createContainer(request)))
        assert.equal(new Set(answers.map(({ containerId }) => containerId)).size, 1)
      })

      it('StartContainer side by side starts it once and answers both', async () => {
        await using pod = await cri.pod()
        const container = await pod.create({ command: ['sh', '-c', 'echo started; sleep 1000'] })
        await Promise.all([container.start(), container.start()])
        await container.logContains('started')
        assert.equal(container.log().length, 1)
      })

      it('a pull whose first caller left goes on for the second', async () => {
        await using slow = await slowRegistry(cri.registry.host, { blobDelayMs: 1_500 })
        const image = { image: cri.images.docker.replace(cri.registry.host, slow.host) }
        const first = cri.image.pullImage({ image }, { timeoutMs: 700 })
        const second = cri.image.pullImage({ image })
        await failsWith('deadline_exceeded', first)
        const { imageRef } = await second
        assert.equal((await cri.image.imageStatus({ image })).image?.id, imageRef)
        await cri.image.removeImage({ image })
      })
    })

    describe('a network that fails', () => {
      it('fails the pod with the words of the plugin, and leaves nothing', async () => {
        faults({ addError: 'no more colours' })
        await assert.rejects(cri.pod(), /no more colours/)
        assert.deepEqual((await cri.runtime.listPodSandbox({})).items, [])
        await eventually('no leaks', async () => (await cri.node.leaks()).length === 0)
        assert.match(calls().at(-1) ?? '', /^DEL /)
      })

      it('the same request succeeds afterwards', async () => {
        const config = cri.podConfig()
        faults({ addError: 'no more colours' })
        await assert.rejects(cri.runtime.runPodSandbox({ config }))
        faults({})
        await cri.runtime.runPodSandbox({ config })
      })

      it('garbage from a plugin is an error, and leaves nothing', needs('joins'), async () => {
        faults({ garbage: '{"cniVersion": ' })
        await assert.rejects(cri.pod())
        faults({})
        await eventually('no leaks', async () => (await cri.node.leaks()).length === 0)
      })

      it('DEL uses the configuration of its ADD, whatever lies in the directory now', needs('cachedDel'), async () => {
        const path = join(cri.node.world.cniConfigDir, '10-test.conflist')
        const original = readFileSync(path, 'utf8')
        const pod = await cri.pod()
        writeFileSync(path, original.replace(`"name":"${cri.node.world.networkName}"`, '"name":"another"'))
        try {
          await sleep(500)
          await pod.stop()
          await pod.remove()
          await eventually('no leaks', async () => (await cri.node.leaks()).length === 0)
        } finally {
          writeFileSync(path, original)
          // Until the directory's change is seen.
          await sleep(500)
        }
      })

      it(
        'a pod whose network namespace somebody took away can be stopped, and its address comes back',
        needs('pinsInState'),
        async () => {
          const pod = await cri.pod()
          await pod.run()
          const { stdout } = await run(['findmnt', '--raw', '--noheadings', '--types', 'nsfs', '--output', 'TARGET'])
          const pins = stdout.split('\n').filter((path) => path.includes(pod.id) && path.startsWith(cri.node.world.directory))
          assert.ok(pins.length > 0)
          for (const pin of pins) await run(['umount', '--lazy', pin])
          await pod.stop()
          await pod.remove()
          await eventually('no leaks', async () => (await cri.node.leaks()).length === 0)
        },
      )

      it('DEL that fails keeps the pod, until a later stop succeeds', async () => {
        const pod = await cri.pod()
        faults({ delError: 'still painting' })
        await assert.rejects(pod.stop(), /still painting/)
        const { items } = await cri.runtime.listPodSandbox({ filter: { id: pod.id } })
        assert.equal(items.length, 1)
        faults({})
        await pod.stop()
        await pod.remove()
        await eventually('no leaks', async () => (await cri.node.leaks()).length === 0)
      })

      it('ADD that fails when DEL fails too: what could not be undone is listed NOTREADY and removable', async () => {
        faults({ addError: 'no more colours', delError: 'still painting' })
        await assert.rejects(cri.pod(), /no more colours/)
        const { items } = await cri.runtime.listPodSandbox({})
        assert.deepEqual(
          items.map(({ state }) => state),
          [PodSandboxState.SANDBOX_NOTREADY],
        )
        faults({})
        for (const { id: podSandboxId } of items) {
          cri.node.ids.add(podSandboxId)
          await cri.runtime.stopPodSandbox({ podSandboxId })
          await cri.runtime.removePodSandbox({ podSandboxId })
        }
        await eventually('no leaks', async () => (await cri.node.leaks()).length === 0)
      })
    })
  },
  { faultyPlugin: true },
)
