// Whatever hangs is named: by `coracle why`, in the error of the call that ran out of time, in verbose Status.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, afterEach, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CodedError } from '@coracle/base/errors'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { eventually } from '@coracle/testkit/eventually'
import { parseExposition } from '@coracle/testkit/exposition'
import { startFaultRegistry } from '@coracle/testkit/fault-registry'
import { setFaults } from '@coracle/testkit/faulty-plugin'
import { freePort } from '@coracle/testkit/free-port'
import { run } from '@coracle/testkit/program'
import { tar } from '@coracle/testkit/tar'
import { createWrapperRuntime } from '@coracle/testkit/wrapper-runtime'
import { criSuite } from '../cri/suite.ts'
import { deadServer } from '../isolation/dead-server.ts'

const program = fileURLToPath(new URL('../../bin/coracle', import.meta.url))
const directory = makeOwnDirectory('coracle-why-')
const wrapper = createWrapperRuntime({ directory, program: '/usr/sbin/runc', slowSeconds: 12 })

const port = await freePort()

/** Long enough that its answer comes before the client gives up, also on a busy machine. */
const patienceMs = 6000
const hangMs = 12_000

criSuite(
  'why something hangs',
  (cri) => {
    after(() => rmSync(directory, { recursive: true, force: true }))
    afterEach(async () => {
      setFaults(cri.node.world.directory, {})
      wrapper.clear()
      await cri.node.clear()
    })
    const why = async (...args: string[]) => {
      const { stdout, stderr, exitCode } = await run([program, '-r', `unix://${cri.node.world.socket}`, 'why', ...args], 60_000)
      assert.equal(exitCode, 0, stderr)
      return stdout
    }
    const hangs = async (pattern: RegExp, work: Promise<unknown>) => {
      await assert.rejects(work, (err) => {
        assert.ok(err instanceof CodedError)
        assert.equal(err.code, 'deadline_exceeded')
        assert.match(err.message, pattern)
        return true
      })
    }

    it('a network plugin', async () => {
      setFaults(cri.node.world.directory, { addDelayMs: 25_000 })
      const config = cri.podConfig()
      const name = `tests/${config.metadata?.name}`
      const plugin = /CNI ADD plugin test-faulty, for [\d.]+ s since \d\d:\d\d:\d\d/
      const call = hangs(plugin, cri.runtime.runPodSandbox({ config }, { timeoutMs: patienceMs }))
      const told = await eventually('the plugin is named', async () => {
        const text = await why(name)
        return /CNI ADD plugin test-faulty/.test(text) ? text : undefined
      })
      assert.match(told, new RegExp(`^pod ${name} [0-9a-f]+: creating$`, 'm'))
      assert.match(told, /under way: RunPodSandbox \(request r\d+\), for/)
      assert.match(told, /CNI ADD plugin bridge: \d+ ms/, 'the plugin before it is told with its time')
      await call
      // Its caller has left, the work goes on, is still known, and counted.
      const isStuck = async () => {
        const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
        const samples = parseExposition(text).get('coracle_stages_stuck')?.samples ?? []
        return samples.some(({ labels, value }) => labels['work'] === 'run pod' && labels['stage'] === 'CNI ADD' && value === 1)
      }
      await eventually('the metric counts it', isStuck, { timeoutMs: 30_000 })
      assert.match(await why(name), /under way: RunPodSandbox[\s\S]*it is in CNI ADD plugin test-faulty/)
      const { info } = await cri.runtime.status({ verbose: true })
      const [work] = JSON.parse(info['underWay'] ?? '[]') as { where: string; subject: { pod: string } }[]
      assert.match(work?.where ?? '', plugin)
      assert.equal(work?.subject.pod, name)
      const { podSandboxId } = await cri.runtime.runPodSandbox({ config })
      const past = await why(podSandboxId)
      assert.match(past, /: ready$/m)
      assert.match(past, /nothing is under way/)
      assert.match(past, /RunPodSandbox \(request r\d+\) failed after .*it is in CNI ADD plugin test-faulty/)
      assert.deepEqual(JSON.parse((await cri.runtime.status({ verbose: true })).info['underWay'] ?? ''), [])
    })

    it('a lock, and what its holder waits for', async () => {
      const pod = await cri.pod()
      setFaults(cri.node.world.directory, { delDelayMs: hangMs })
      const stopping = pod.stop()
      await eventually('the stop is under way', async () => /CNI DEL/.test(await why(pod.id)))
      const words =
        /pod lock [0-9a-f]+, for .*: waits for stop pod of StopPodSandbox \(request r\d+\), which is in CNI DEL plugin test-faulty/
      await hangs(words, cri.runtime.removePodSandbox({ podSandboxId: pod.id }, { timeoutMs: patienceMs }))
      setFaults(cri.node.world.directory, {})
      await stopping
    })

    it('a stop whose caller has left, and what waits for it', async () => {
      const pod = await cri.pod()
      setFaults(cri.node.world.directory, { delDelayMs: 25_000 })
      await hangs(/CNI DEL plugin test-faulty/, cri.runtime.stopPodSandbox({ podSandboxId: pod.id }, { timeoutMs: patienceMs }))
      const plugin = /under way: StopPodSandbox[^\n]*\n {2}it is in CNI DEL plugin test-faulty, for/
      assert.match(await why(pod.id), plugin)
      assert.match(await why(), plugin)
      const { info } = await cri.runtime.status({ verbose: true })
      assert.match(info['underWay'] ?? '', /CNI DEL plugin test-faulty/)
      const words = /pod lock .*: waits for stop pod of StopPodSandbox \(request r\d+\), which is in CNI DEL plugin test-faulty/
      await hangs(words, cri.runtime.stopPodSandbox({ podSandboxId: pod.id }, { timeoutMs: patienceMs }))
      setFaults(cri.node.world.directory, {})
      await pod.remove()
    })

    it('an OCI runtime', async () => {
      await using pod = await cri.pod({}, 'wrapped')
      const { containerId } = await cri.runtime.createContainer({
        podSandboxId: pod.id,
        config: pod.containerConfig(),
        sandboxConfig: pod.config,
      })
      wrapper.set('start', 'slow')
      const runtime = /OCI start runtime wrapped \(.*wrapper-runtime\), for/
      await hangs(runtime, cri.runtime.startContainer({ containerId }, { timeoutMs: patienceMs }))
      const told = await why(pod.id)
      assert.match(told, /^container .*: created, being started$/m)
      assert.match(told, runtime)
      assert.match(await why(containerId), runtime)
    })

    it('a mount source on a dead server', async () => {
      await using volume = await deadServer(cri)
      await using pod = await cri.pod()
      await volume.hang()
      const request = {
        podSandboxId: pod.id,
        config: pod.containerConfig({ mounts: [{ hostPath: volume.file, containerPath: '/data' }] }),
        sandboxConfig: pod.config,
      }
      const source = new RegExp(`mount source ${volume.file}, for [\\d.]+ s since \\d\\d:\\d\\d:\\d\\d`)
      const call = hangs(source, cri.runtime.createContainer(request, { timeoutMs: patienceMs }))
      const told = await eventually('the source is named', async () => {
        const text = await why(pod.id)
        return /mount source/.test(text) ? text : undefined
      })
      assert.match(told, /under way: CreateContainer \(request r\d+\), for/)
      assert.match(told, new RegExp(`it is in mount source ${volume.file}, for`))
      await call
      await volume.end()
      // What it hung in has failed: the same request says so, in the kernel's words for either moment, and no longer waits.
      await assert.rejects(cri.runtime.createContainer(request), /not connected|connection abort/)
    })

    it('a registry and what was tried, also to one who shares the pull', async () => {
      await using registry = await startFaultRegistry()
      registry.addImage('slow/image', 'v1', [{ tar: tar([{ path: 'x', body: 'x' }]) }])
      let asked = 0
      registry.fault(({ url }, response) => {
        if (url?.includes('/manifests/') !== true) return false
        // Busy the first time, silent the second.
        if (asked++ === 0) response.writeHead(503).end()
        return true
      })
      const image = `${registry.host}/slow/image:v1`
      const words = new RegExp(`registry ${registry.host} manifests/v1, for`)
      const first = hangs(
        new RegExp(`${words.source}.*; tried: .* failed after .*answers 503`),
        cri.image.pullImage({ image: { image } }, { timeoutMs: patienceMs }),
      )
      await eventually('the registry is named', async () => words.test(await why(image)))
      const second = hangs(
        new RegExp(
          `shared work pull image, for .*: waits for pull image of PullImage \\(request r\\d+\\), which is in ${words.source}`,
        ),
        cri.image.pullImage({ image: { image } }, { timeoutMs: patienceMs }),
      )
      await Promise.all([first, second])
    })

    it('a name that nobody knows is said to be unknown', async () => {
      const { stderr, exitCode } = await run([program, '-r', `unix://${cri.node.world.socket}`, 'why', 'nobody'], 60_000)
      assert.equal(exitCode, 1)
      assert.match(stderr, /goes by "nobody"/)
    })
  },
  {
    faultyPlugin: true,
    config: `[limits]\nprobe_timeout_s = 60\n[metrics]\nport = ${port}\n[runtimes.wrapped]\npath = "${wrapper.program}"\nkind = "runc"\n`,
  },
)
