import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { createContainer } from '../container/create.ts'
import { startContainer } from '../container/start.ts'
import { removePod } from './remove.ts'
import { runPod } from './run.ts'

const never = new AbortController().signal

test('a pod runs, holds a container, and leaves nothing', async () => {
  await using node = testServices()
  const { services, machine } = node
  const id = await runPod(services, { config: podConfig('a'), handler: '', fingerprint: 'f' }, never)
  assert.equal(services.pods.get(id).state.kind, 'ready')
  const c = await createContainer(services, { podId: id, config: containerConfig('c'), fingerprint: 'f' }, never)
  await startContainer(services, c, never)
  assert.equal(services.containers.get(c).state.kind, 'running')
  await removePod(services, id)
  assert.equal(services.pods.size, 0)
  assert.equal(services.containers.size, 0)
  assert.deepEqual([...machine.host.mountTargets.keys()], [])
})

test('an annotation that no plugin could be told is refused before anything is made', async () => {
  await using node = testServices()
  const { services, machine } = node
  const config = podConfig('a', { annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' } })
  await assert.rejects(runPod(services, { config, handler: '', fingerprint: 'f' }, never), {
    code: 'invalid_argument',
    message: /ingress-bandwidth "fast" must be a quantity/,
  })
  assert.equal(services.pods.size, 0)
  assert.deepEqual(machine.cni.calls, [])
})
