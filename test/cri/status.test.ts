// Version, Status, RuntimeConfig, UpdateRuntimeConfig, the older name of the services, and what is not there.
import assert from 'node:assert/strict'
import { readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CgroupDriver, connect } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { needs } from './differences.ts'
import { failsWith } from './expect.ts'
import { criSuite } from './suite.ts'

criSuite('the runtime itself', (cri) => {
  describe('Version', () => {
    it('answers what kubelet accepts: version 0.1.0 of v1, a name, a semantic version', async () => {
      const version = await cri.runtime.version({ version: '0.1.0' })
      assert.equal(version.version, '0.1.0')
      assert.equal(version.runtimeApiVersion, 'v1')
      assert.notEqual(version.runtimeName, '')
      assert.match(version.runtimeVersion.replace(/^v/, ''), /^\d+\.\d+\.\d+/)
    })
  })

  describe('Status', () => {
    it('has RuntimeReady and NetworkReady, both true', async () => {
      const { status } = await cri.runtime.status({})
      const conditions = new Map(status?.conditions.map(({ type, status }) => [type, status]))
      assert.equal(conditions.get('RuntimeReady'), true)
      assert.equal(conditions.get('NetworkReady'), true)
    })

    it('gives info as JSON values when asked verbosely', needs('verboseJson'), async () => {
      const { info } = await cri.runtime.status({ verbose: true })
      assert.ok(Object.keys(info).length > 0)
      for (const value of Object.values(info)) assertJsonValue(value)
    })

    it('gives no info unless asked', needs('verboseOff'), async () => {
      const { info } = await cri.runtime.status({})
      assert.deepEqual(info, {})
    })

    it('lists the runtime handlers, the default as ""', needs('runtimeHandlers'), async () => {
      const { runtimeHandlers, features } = await cri.runtime.status({})
      const names = runtimeHandlers.map(({ name }) => name)
      assert.ok(names.includes(''), `"" is among ${JSON.stringify(names)}`)
      assert.ok(names.includes('runc'), `runc is among ${JSON.stringify(names)}`)
      assert.equal(new Set(names).size, names.length)
      assert.ok(features)
    })

    it('turns NetworkReady false with a reason while there is no network configuration, and true again', async () => {
      const path = join(cri.node.world.cniConfigDir, '10-test.conflist')
      const networkReady = async () =>
        (await cri.runtime.status({})).status?.conditions.find(({ type }) => type === 'NetworkReady')
      renameSync(path, `${path}.away`)
      try {
        const condition = await eventually('NetworkReady is false', async () => {
          const found = await networkReady()
          return found?.status === false && found
        })
        assert.notEqual(condition.reason, '')
        assert.notEqual(condition.message, '')
      } finally {
        renameSync(`${path}.away`, path)
      }
      await eventually('NetworkReady is true', async () => (await networkReady())?.status === true)
    })
  })

  describe('RuntimeConfig', () => {
    it('names the cgroup driver', needs('runtimeConfig'), async () => {
      const { linux } = await cri.runtime.runtimeConfig({})
      const bySystemd = readFileSync('/proc/1/comm', 'utf8').trim() === 'systemd'
      assert.ok(linux)
      if (!bySystemd) assert.equal(linux.cgroupDriver, CgroupDriver.CGROUPFS)
    })
  })

  describe('UpdateRuntimeConfig', () => {
    it('takes the pod network range of the node', async () => {
      await cri.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr: '10.1.0.0/24' } } })
    })

    it('takes an empty one', async () => {
      await cri.runtime.updateRuntimeConfig({})
    })
  })

  describe('runtime.v1alpha2', () => {
    it('answers the same services under the older name', async () => {
      await using old = connect(cri.node.client.socketPath, { apiVersion: 'v1alpha2' })
      const version = await old.runtime.version({})
      assert.equal(version.version, '0.1.0')
      assert.equal(version.runtimeApiVersion, 'v1alpha2')
      const { images } = await old.image.listImages({})
      assert.equal(images.length, (await cri.image.listImages({})).images.length)
    })

    it('shows pods of either name under both', async () => {
      await using old = connect(cri.node.client.socketPath, { apiVersion: 'v1alpha2' })
      await using pod = await cri.pod()
      const { items } = await old.runtime.listPodSandbox({ filter: { id: pod.id } })
      assert.deepEqual(
        items.map(({ id }) => id),
        [pod.id],
      )
    })

    it('answers NotFound for the status of an unknown pod', async () => {
      await using old = connect(cri.node.client.socketPath, { apiVersion: 'v1alpha2' })
      await failsWith('not_found', old.runtime.podSandboxStatus({ podSandboxId: 'f'.repeat(64) }))
    })
  })

  describe('what has its own issue', needs('unimplemented'), () => {
    it('answers Unimplemented, which callers fall back on', async () => {
      await failsWith('unimplemented', cri.runtime.checkpointPod({}))
      await failsWith('unimplemented', cri.runtime.restorePod({}))
    })
  })

  it('serves on a socket of mode 0660', needs('socketMode'), () => {
    assert.equal(statSync(cri.node.client.socketPath).mode & 0o777, 0o660)
  })
})

function assertJsonValue(text: string): void {
  assert.doesNotThrow(() => JSON.parse(text), `not JSON: ${text.slice(0, 100)}`)
}
