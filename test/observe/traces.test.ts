// Traces of a real daemon: a pod, a container and a pull, in the trace of their caller.
import assert from 'node:assert/strict'
import { after, afterEach, it } from 'node:test'
import { connectExec } from '@coracle/streaming/client'
import { eventually } from '@coracle/testkit/eventually'
import { startFaultRegistry } from '@coracle/testkit/fault-registry'
import { tar } from '@coracle/testkit/tar'
import { type CollectedSpan, startTraceCollector } from '@coracle/testkit/trace-collector'
import { criSuite } from '../cri/suite.ts'

const collector = await startTraceCollector()
const callerSpan = 'b7ad6b7169203331'

criSuite(
  'traces',
  (cri) => {
    after(() => collector[Symbol.asyncDispose]())
    afterEach(() => cri.node.clear())
    let serial = 0
    const newCaller = () => {
      const traceId = String(++serial).padStart(32, 'a')
      return { traceId, metadata: { traceparent: `00-${traceId}-${callerSpan}-01` } }
    }
    const trace = async (traceId: string, root: string): Promise<readonly CollectedSpan[]> => {
      const own = () => collector.spans.filter((span) => span.traceId === traceId)
      await eventually(`the span of ${root}`, () => own().some(({ name }) => name === root), { timeoutMs: 30_000 })
      return own()
    }
    const pathOf = (spans: readonly CollectedSpan[], span: CollectedSpan): string => {
      const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
      return parent === undefined ? span.name : `${pathOf(spans, parent)} > ${span.name}`
    }

    it('a pod and a container: CNI and the OCI runtime', async () => {
      const { traceId, metadata } = newCaller()
      const config = cri.podConfig()
      const { podSandboxId } = await cri.runtime.runPodSandbox({ config }, { metadata })
      const { containerId } = await cri.runtime.createContainer(
        {
          podSandboxId,
          config: { metadata: { name: 'c' }, image: { image: cri.images.busybox }, command: ['sleep', '1000'] },
          sandboxConfig: config,
        },
        { metadata },
      )
      await cri.runtime.startContainer({ containerId }, { metadata })
      const spans = await trace(traceId, 'StartContainer')
      const paths = spans.map((span) => pathOf(spans, span))
      for (const path of [
        'RunPodSandbox > run pod > CNI ADD',
        'CreateContainer > create container > OCI create',
        'CreateContainer > create container > root file system',
        'StartContainer > start container > OCI start',
      ]) {
        assert.ok(paths.includes(path), `${path} in ${paths.join(', ')}`)
      }
      for (const root of spans.filter(({ kind }) => kind === 2)) assert.equal(root.parentSpanId, callerSpan)
    })

    it('a pull: the registry and each layer', async () => {
      await using registry = await startFaultRegistry()
      registry.addImage('i', 'v1', [{ tar: tar([{ path: 'x', body: 'x' }]) }, { tar: tar([{ path: 'y', body: 'y' }]) }])
      const { traceId, metadata } = newCaller()
      await cri.image.pullImage({ image: { image: `${registry.host}/i:v1` } }, { metadata })
      const spans = await trace(traceId, 'PullImage')
      const on = spans.flatMap(({ attributes }) => attributes.filter(({ key }) => key === 'coracle.on').map(({ value }) => value))
      const told = on.map(({ stringValue }) => stringValue)
      assert.ok(told.includes(`${registry.host} manifests/v1`), told.join(', '))
      assert.equal(told.filter((text) => / layer sha256:/.test(text)).length, 2)
      const paths = spans.map((span) => pathOf(spans, span))
      const unpacked = paths.filter((path) => /^PullImage > .*registry > unpack$/.test(path))
      assert.equal(unpacked.length, 2, paths.join(', '))
    })

    it('an exec session is in the trace of the call that prepared it', async () => {
      await using pod = await cri.pod()
      const { id: containerId } = await pod.run({ command: ['sleep', '1000'] })
      const { traceId, metadata } = newCaller()
      const selection = { tty: false, stdin: false, stdout: true, stderr: true }
      const { url } = await cri.runtime.exec({ containerId, cmd: ['sleep', '0.1'], ...selection }, { metadata })
      const options = { transport: 'websocket', selection, signal: AbortSignal.timeout(60_000) } as const
      await (await connectExec(url, options)).ended
      const spans = await trace(traceId, 'exec session')
      const paths = spans.map((span) => pathOf(spans, span))
      assert.ok(paths.includes('Exec > exec session > OCI exec'), paths.join(', '))
      const session = spans.find(({ name }) => name === 'exec session')
      assert.equal(session?.kind, 2)
      assert.ok(session?.attributes.some(({ key, value }) => key === 'container.id' && value.stringValue === containerId))
    })

    it('a call without a trace begins none, when none is wanted', async () => {
      const before = collector.spans.length
      await cri.runtime.version({})
      const { traceId, metadata } = newCaller()
      await cri.runtime.version({}, { metadata })
      await trace(traceId, 'Version')
      assert.equal(collector.spans.length, before + 1)
    })
  },
  { config: `[tracing]\nurl = "${collector.url}"\n` },
)
