import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import type { ContainerConfig } from '@coracle/cri-api'
import { containerConfig, testServices } from '@coracle/testkit/services'
import type { Services } from '../services.ts'
import { HeldSources } from './held-sources.ts'
import { lookAtSources } from './sources.ts'

const look = async (services: Services, config: ContainerConfig) => {
  using held = new HeldSources()
  return await lookAtSources(services, { config, label: undefined, held })
}

const mount = (hostPath: string, propagation: 0 | 1 | 2 = 0) => ({ containerPath: '/x', hostPath, propagation })

describe('lookAtSources()', () => {
  test('makes what is missing, unless the operator says that it must not be made', async () => {
    await using world = testServices({ settings: { absentSourcesToReject: ['/etc/hostname'] } })
    const { services, machine } = world
    const found = await look(services, containerConfig('a', { mounts: [mount('/new')] }))
    assert.equal(found.get('/new')?.type, 'directory')
    assert.equal(machine.host.files.get('/new')?.type, 'directory')
    for (const path of ['/etc/hostname', '/etc//hostname/']) {
      await assert.rejects(
        look(services, containerConfig('b', { mounts: [mount(path)] })),
        (err) => codeOf(err) === 'failed_precondition',
      )
    }
    machine.host.files.set('/etc/hostname', { type: 'file' })
    const there = await look(services, containerConfig('c', { mounts: [mount('/etc/hostname')] }))
    assert.equal(there.get('/etc/hostname')?.type, 'file')
  })

  test('asks for sharedness only where a mount wants one', async () => {
    await using world = testServices()
    const { services, machine } = world
    for (const path of ['/a', '/b']) machine.host.files.set(path, { type: 'directory' })
    for (const path of ['/a', '/b']) machine.host.propagation.set(path, 'shared')
    const config = containerConfig('a', { mounts: [mount('/a', 2), { ...mount('/b'), containerPath: '/y' }] })
    const found = await look(services, config)
    assert.deepEqual([found.get('/a')?.propagation, found.get('/b')?.propagation], ['shared', 'private'])
  })
})
