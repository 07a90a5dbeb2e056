import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { explain } from '@coracle/base/errors'
import { containerConfig, podConfig, testServices } from '@coracle/testkit/services'
import { createContainer } from '../container/create.ts'
import { podLayout } from '../layout.ts'
import { recover } from '../recover.ts'
import { removePod } from './remove.ts'
import { runPod } from './run.ts'

const never = new AbortController().signal
const ids = [{ containerId: 0, hostId: process.getuid?.() || 65536, length: 65536 }]
const usernsOptions = { mode: 0 as const, uids: ids, gids: ids }
const mapped = podConfig('a', { linux: { securityContext: { namespaceOptions: { pid: 1, usernsOptions } } } })

// Files are given to the pod's root for real, which only root may do.
const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' }

test('the user namespace is pinned with the others; without it a pod is not ready after a restart', options, async () => {
  await using node = testServices()
  const { services, machine } = node
  mkdirSync(services.settings.stateDirectory, { recursive: true })
  await recover(services)
  const id = await runPod(services, { config: mapped, handler: '', fingerprint: 'f' }, never)
  const { namespaces } = podLayout(services.settings, id)
  assert.deepEqual(machine.host.pins.get(namespaces), ['net', 'uts', 'ipc', 'user'])
  await using again = node.restart()
  await recover(again.services)
  assert.equal(again.services.pods.get(id).state.kind, 'ready')
  Object.assign(machine.host.namespaces, { isPinned: (_: string, kind: string) => kind !== 'user' })
  await using later = again.restart()
  await recover(later.services)
  assert.equal(later.services.pods.get(id).state.kind, 'notReady')
  await removePod(later.services, id)
  assert.equal(machine.host.pins.size, 0)
})

test('a handler that cannot have one refuses the pod with its reason, before anything is made', options, async () => {
  await using node = testServices()
  const services = {
    ...node.services,
    handlerSettings: (handler: string) => ({
      ...node.services.handlerSettings(handler),
      userNamespaceProblem: 'too old a kernel',
    }),
  }
  await assert.rejects(runPod(services, { config: mapped, handler: '', fingerprint: 'f' }, never), {
    code: 'failed_precondition',
    message: /not supported by this runtime handler and kernel: too old a kernel/,
  })
  assert.deepEqual(node.machine.host.calls, [])
  await runPod(services, { config: podConfig('plain'), handler: '', fingerprint: 'f' }, never)
})

test(
  'volumes are cloned for the time of the create, also when it fails, and each failure names the volume',
  options,
  async () => {
    await using node = testServices()
    const { services, machine } = node
    const podId = await runPod(services, { config: mapped, handler: '', fingerprint: 'f' }, never)
    machine.host.files.set('/srv/data', { type: 'directory' })
    const mounts = [{ containerPath: '/data', hostPath: '/srv/data', uidMappings: ids, gidMappings: ids }]
    const config = containerConfig('c', { mounts })
    machine.host.failNext('mounts.mountClone', new Error('broken'))
    const create = () => createContainer(services, { podId, config, fingerprint: 'f' }, never)
    await assert.rejects(create(), (err) => explain(err).includes('mount /srv/data at /data: broken'))
    await create()
    const made = machine.host.calls.filter((call) => call.startsWith('mounts.mountClone /srv/data'))
    assert.equal(made.length, 2)
    const containers = join(services.settings.stateDirectory, 'containers')
    assert.deepEqual(
      [...machine.host.mountTargets.keys()].filter((target) => target.startsWith(containers)),
      [],
    )
  },
)
