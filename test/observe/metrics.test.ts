// The Prometheus endpoint of a real daemon: what it tells is true.
import assert from 'node:assert/strict'
import { afterEach, it } from 'node:test'
import { eventually } from '@coracle/testkit/eventually'
import { parseExposition } from '@coracle/testkit/exposition'
import { startFaultRegistry } from '@coracle/testkit/fault-registry'
import { freePort } from '@coracle/testkit/free-port'
import { tar } from '@coracle/testkit/tar'
import { criSuite } from '../cri/suite.ts'

const port = await freePort()

criSuite(
  'metrics of the daemon',
  (cri) => {
    afterEach(() => cri.node.clear())
    const scrape = async () => {
      const reply = await fetch(`http://127.0.0.1:${port}/metrics`)
      assert.equal(reply.status, 200)
      const families = parseExposition(await reply.text())
      return (name: string, labels: Readonly<Record<string, string>> = {}): number => {
        const family = families.get(name.replace(/_(count|sum|bucket)$/, '')) ?? families.get(name)
        const found = family?.samples.filter(
          (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
        )
        return (found ?? []).reduce((sum, { value }) => sum + value, 0)
      }
    }

    it('pods, containers, calls, stages and exits', async () => {
      const before = await scrape()
      await using pod = await cri.pod()
      const { containerId } = await cri.runtime.createContainer({
        podSandboxId: pod.id,
        config: pod.containerConfig({ command: ['sh', '-c', 'exit 3'] }),
        sandboxConfig: pod.config,
      })
      await cri.runtime.startContainer({ containerId })
      await assert.rejects(cri.runtime.containerStatus({ containerId: 'nobody' }))
      const now = await eventually('the exit is counted', async () => {
        const value = await scrape()
        return value('coracle_container_exits_total', { reason: 'Error' }) === 1 ? value : undefined
      })
      assert.equal(now('coracle_pods', { state: 'ready' }), 1)
      assert.equal(now('coracle_containers', { state: 'exited' }), 1)
      const rise = (name: string, labels?: Readonly<Record<string, string>>) => now(name, labels) - before(name, labels)
      assert.equal(rise('coracle_calls_total', { rpc: 'RunPodSandbox', code: 'OK' }), 1)
      assert.equal(rise('coracle_calls_total', { rpc: 'ContainerStatus', code: 'NOT_FOUND' }), 1)
      assert.equal(rise('coracle_call_duration_seconds_count', { rpc: 'RunPodSandbox' }), 1)
      assert.equal(rise('coracle_stage_duration_seconds_count', { stage: 'run pod' }), 1)
      assert.ok(rise('coracle_stage_duration_seconds_count', { stage: 'CNI ADD' }) >= 2)
      assert.equal(rise('coracle_stage_duration_seconds_count', { stage: 'OCI create' }), 1)
      assert.equal(now('coracle_stages_stuck'), 0)
      assert.ok(rise('coracle_events_total') >= 5)
      assert.ok(now('process_resident_memory_bytes') > 10_000_000)
      assert.ok(now('coracle_records_bytes') > 0)
    })

    it('pulls by host and outcome, layers fetched and reused', async () => {
      await using registry = await startFaultRegistry()
      const { host } = registry
      const layers = ['a', 'b'].map((name) => ({ tar: tar([{ path: name, body: name.repeat(1000) }]) }))
      registry.addImage('one', 'v1', layers)
      registry.addImage('two', 'v1', [...layers, { tar: tar([{ path: 'c', body: 'c' }]) }])
      const pull = (name: string) => cri.image.pullImage({ image: { image: `${host}/${name}` } })
      const before = await scrape()
      await pull('one:v1')
      await pull('two:v1')
      await pull('two:v1')
      await assert.rejects(pull('three:v1'))
      const now = await scrape()
      const outcomes = ['ok', 'present', 'not_found'].map((outcome) => now('coracle_image_pulls_total', { host, outcome }))
      assert.deepEqual(outcomes, [2, 1, 1])
      assert.equal(now('coracle_image_pull_duration_seconds_count', { host }), 3)
      assert.ok(now('coracle_image_pulled_bytes_total', { host }) > 0)
      const layerRise = (source: string) =>
        now('coracle_image_layers_total', { source }) - before('coracle_image_layers_total', { source })
      assert.equal(layerRise('fetched'), 3)
      assert.equal(layerRise('reused'), 2)
      assert.equal(now('coracle_images') - before('coracle_images'), 2)
    })

    it('an OOM kill is counted', async () => {
      await using pod = await cri.pod()
      const { containerId } = await cri.runtime.createContainer({
        podSandboxId: pod.id,
        config: pod.containerConfig({
          command: ['sh', '-c', 'x=a; while :; do x=$x$x; done'],
          linux: { resources: { memoryLimitInBytes: 16n * 1024n * 1024n } },
        }),
        sandboxConfig: pod.config,
      })
      await cri.runtime.startContainer({ containerId })
      const isCounted = async () => (await scrape())('coracle_containers_oom_killed_total') === 1
      await eventually('it is counted', isCounted, { timeoutMs: 30_000 })
    })
  },
  { config: `[metrics]\nport = ${port}\n` },
)
