// One socket for gRPC and for the cAdvisor of a kubelet, and the cgroups it looks for.
import assert from 'node:assert/strict'
import { existsSync, globSync, statSync } from 'node:fs'
import { Agent, get, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterEach, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerInfo, RuntimeInfo } from '@coracle/cri-server'
import { eventually } from '@coracle/testkit/eventually'
import { criSuite } from '../cri/suite.ts'

criSuite(
  'cAdvisor on the CRI socket',
  (cri) => {
    afterEach(() => cri.node.clear())
    const agent = new Agent({ keepAlive: true })
    const ask = async (path: string, method = 'GET'): Promise<{ status: number; body: string }> => {
      const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
      const options = { socketPath: cri.node.world.socket, path, method, agent, headers: { host: 'crio' } }
      const request = httpRequest(options, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      })
      request.on('error', reject)
      request.end()
      return promise
    }
    const info = async (id: string): Promise<ContainerInfo> => {
      const { status, body } = await ask(`/containers/${id}`)
      assert.equal(status, 200, body)
      return JSON.parse(body) as ContainerInfo
    }

    it('GET /info', async () => {
      const { status, body } = await ask('/info')
      assert.equal(status, 200)
      const told = JSON.parse(body) as RuntimeInfo
      assert.equal(told.storage_driver, 'overlay')
      assert.ok(existsSync(told.storage_root))
      assert.equal(told.storage_image, '', 'one disk for both')
      assert.equal(told.cgroup_driver, 'cgroupfs')
    })

    it('GET /containers/ID of a container and of its pod', async () => {
      await using pod = await cri.pod({ labels: { 'io.kubernetes.pod.name': 'web' } })
      assert.equal((await info(pod.id)).pid, 0, 'nothing runs in it yet')
      const config = pod.containerConfig({ labels: { 'io.kubernetes.container.name': 'main' }, annotations: { a: 'b' } })
      const { containerId } = await cri.runtime.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config })
      await cri.runtime.startContainer({ containerId })
      const container = await info(containerId)
      assert.equal(
        container.name,
        `k8s_${config.metadata?.name}_${pod.config.metadata?.name}_tests_${pod.config.metadata?.uid}_0`,
      )
      assert.ok(existsSync(`/proc/${container.pid}/net/dev`))
      assert.equal(container.image, cri.images.busybox)
      assert.ok(Math.abs(container.created_time / 1e6 - Date.now()) < 600_000)
      assert.deepEqual(container.labels, { 'io.kubernetes.container.name': 'main' })
      assert.deepEqual(container.annotations, { a: 'b' })
      assert.equal(container.log_path, join(pod.config.logDirectory, config.logPath))
      assert.equal(container.sandbox, pod.id)
      assert.deepEqual(container.ip_addresses, [await pod.ip()])
      // As cAdvisor makes the path of what the container has written.
      await cri.runtime.execSync({ containerId, cmd: ['touch', '/written'] })
      assert.ok(existsSync(join(container.root.replace(/\/merged$/, ''), 'diff', 'written')))
      const itself = await info(pod.id)
      assert.equal(itself.labels['io.kubernetes.container.name'], 'POD')
      assert.equal(itself.labels['io.kubernetes.pod.name'], 'web')
      assert.equal(itself.pid, container.pid, 'it shows the network of the pod')
      assert.ok(statSync(join(itself.root.replace(/\/merged$/, ''), 'diff')).isDirectory())
      for (const id of [pod.id, containerId]) assert.deepEqual(cgroupsNamed(id), [`crio-${id}`])
      await cri.runtime.stopContainer({ containerId })
      assert.equal((await info(containerId)).pid, 0)
      await pod.stop()
      assert.deepEqual(cgroupsNamed(pod.id), [])
    })

    it('everything else is refused', async () => {
      for (const path of ['/', '/containers/', '/containers/abc', `/containers/${'0'.repeat(64)}`, '/containers/../info']) {
        assert.equal((await ask(path)).status, 404, path)
      }
      assert.equal((await ask('/info', 'POST')).status, 405)
    })

    it('both protocols side by side, also when the first bytes come one by one', async () => {
      const calls = Array.from({ length: 50 }, async (_, i) => {
        if (i % 2 === 0) return assert.equal((await ask('/info')).status, 200)
        await cri.runtime.version({})
      })
      const slow = connect(cri.node.world.socket)
      let answer = ''
      slow.on('data', (data) => {
        answer += data.toString('latin1')
      })
      for (const byte of 'GET /info HTTP/1.1\r\nhost: crio\r\n\r\n') {
        slow.write(byte)
        await sleep(2)
      }
      await eventually('the slow one is answered', () => /^HTTP\/1\.1 200/.test(answer))
      slow.destroy()
      const preface = connect(cri.node.world.socket)
      let frames = 0
      preface.on('data', ({ length }) => {
        frames += length
      })
      for (const part of ['P', 'RI', ' * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\0\0\0\x04\0\0\0\0\0']) {
        preface.write(part, 'latin1')
        await sleep(5)
      }
      await eventually('HTTP/2 is spoken', () => frames >= 9)
      preface.destroy()
      const junk = connect(cri.node.world.socket)
      junk.on('error', () => {})
      const closed = new Promise((resolve) => junk.once('close', resolve))
      junk.end('\x16\x03\x01 no protocol of ours\r\n\r\n')
      junk.resume()
      await closed
      await Promise.all(calls)
      assert.equal((await ask('/info')).status, 200)
      await cri.runtime.version({})
    })
  },
  { config: '[cadvisor]\nserve = "yes"\n' },
)

criSuite('a socket that serves no cAdvisor', (cri) => {
  it('does not answer HTTP/1.1', async () => {
    const { promise, resolve } = Promise.withResolvers<number>()
    const request = get({ socketPath: cri.node.world.socket, path: '/info', agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', () => resolve(0))
    assert.notEqual(await promise, 200)
  })
})

/** The names of cgroups, in any hierarchy, that hold the id. */
function cgroupsNamed(id: string): string[] {
  return [...new Set(globSync(`/sys/fs/cgroup/memory/**/crio-*${id}*`).map((path) => path.slice(path.lastIndexOf('/') + 1)))]
}
