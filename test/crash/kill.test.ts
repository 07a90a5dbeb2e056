// kill -9 of the daemon at every named point of every call: what ran runs on, the record is true after the restart, the retry of
// the call succeeds, and nothing is left on the machine (which the node asserts at its end).
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ContainerState, NamespaceMode, PodSandboxState } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import type { Cri } from '../cri/suite.ts'
import { failpoints } from './failpoints.ts'
import { crashAt, crashTests, type Scene } from './scene.ts'

it('the table has every failpoint of the code', () => {
  const cwd = fileURLToPath(new URL('../../packages/', import.meta.url))
  const sources = globSync('*/src/**/*.ts', { cwd }).filter((path) => !path.endsWith('.test.ts'))
  const inCode = sources.flatMap((path) =>
    [...readFileSync(`${cwd}/${path}`, 'utf8').matchAll(/\bfailpoint\('([a-z0-9.-]+)'\)/g)].map(([, name]) => name ?? ''),
  )
  const inTable: readonly string[] = Object.values(failpoints).flat()
  assert.deepEqual([...new Set(inCode)].sort(), inTable.toSorted())
})

/** Nothing but the survivor's pod is listed. */
async function assertOnlySurvivor({ cri, survivor }: Scene): Promise<void> {
  const { items } = await cri.runtime.listPodSandbox({})
  assert.deepEqual(
    items.map(({ id }) => id),
    [survivor.pod.id],
  )
}

crashTests('kill -9 during RunPodSandbox', (crashTest) => {
  for (const point of failpoints.runPod) {
    crashTest(`at ${point}`, async (scene) => {
      const { cri } = scene
      const config = cri.podConfig()
      await crashAt(scene, point, () => cri.runtime.runPodSandbox({ config }))
      if (point !== 'pod.ready') await assertOnlySurvivor(scene)
      await runAgain(scene, config)
    })
  }
  for (const point of failpoints.runSharedPod) {
    crashTest(`at ${point}, with a PID namespace of the pod`, async (scene) => {
      const { cri } = scene
      const config = cri.podConfig({ linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } })
      await crashAt(scene, point, () => cri.runtime.runPodSandbox({ config }))
      await assertOnlySurvivor(scene)
      await runAgain(scene, config)
    })
  }
})

/** As kubelet does: the same request, unless a pod of it is listed, which is then used or replaced by the next attempt. */
async function runAgain({ cri }: Scene, config: ReturnType<Cri['podConfig']>): Promise<void> {
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config })
  cri.node.ids.add(podSandboxId)
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId })
  assert.equal(status?.state, PodSandboxState.SANDBOX_READY)
  assert.ok(status.network?.ip.startsWith(cri.node.world.subnetPrefix))
}

crashTests('kill -9 during CreateContainer', (crashTest) => {
  for (const point of failpoints.createContainer) {
    crashTest(`at ${point}`, async (scene) => {
      const { cri, survivor } = scene
      const config = survivor.pod.containerConfig()
      const request = { podSandboxId: survivor.pod.id, config, sandboxConfig: survivor.pod.config }
      await crashAt(scene, point, () => cri.runtime.createContainer(request))
      const { containers } = await cri.runtime.listContainers({ filter: { state: { state: ContainerState.CONTAINER_CREATED } } })
      if (point !== 'container.created') assert.deepEqual(containers, [])
      const { containerId } = await cri.runtime.createContainer(request)
      await cri.runtime.startContainer({ containerId })
      const { stdout } = await cri.runtime.execSync({ containerId, cmd: ['echo', 'runs'], timeout: 10n })
      assert.equal(Buffer.from(stdout).toString(), 'runs\n')
      await cri.runtime.removeContainer({ containerId })
    })
  }
})

crashTests('kill -9 during StartContainer', (crashTest) => {
  for (const point of failpoints.startContainer) {
    crashTest(`at ${point}`, async (scene) => {
      const container = await scene.survivor.pod.create({ command: ['sh', '-c', 'echo started; sleep 1000'] })
      await crashAt(scene, point, () => container.start())
      const { state } = await container.status()
      if (state === ContainerState.CONTAINER_CREATED) await container.start()
      else assert.equal(state, ContainerState.CONTAINER_RUNNING)
      assert.equal((await container.status()).state, ContainerState.CONTAINER_RUNNING)
      await container.logContains('started')
      assert.equal(container.log().length, 1, 'it was started once')
      await container.remove()
    })
  }
})

crashTests('kill -9 during StopContainer and RemoveContainer', (crashTest) => {
  for (const point of failpoints.stopContainer) {
    crashTest(`at ${point}`, async (scene) => {
      const container = await scene.survivor.pod.run()
      await crashAt(scene, point, () => container.stop(0))
      await container.stop(0)
      const status = await container.status()
      assert.equal(status.state, ContainerState.CONTAINER_EXITED)
      assert.equal(status.exitCode, 137)
    })
  }
  for (const point of failpoints.containerExit) {
    crashTest(`at ${point}: the exit code is kept`, async (scene) => {
      const container = await scene.survivor.pod.create({ command: ['sh', '-c', 'exit 7'] })
      await crashAt(scene, point, () => container.start())
      const status = await container.exited()
      assert.equal(status.exitCode, 7)
      assert.equal(status.reason, 'Error')
    })
  }
  for (const point of failpoints.removeContainer) {
    crashTest(`at ${point}`, async (scene) => {
      const container = await scene.survivor.pod.run()
      await crashAt(scene, point, () => container.remove())
      await container.remove()
      const { containers } = await scene.cri.runtime.listContainers({ filter: { id: container.id } })
      assert.deepEqual(containers, [])
    })
  }
})

crashTests('kill -9 during StopPodSandbox and RemovePodSandbox', (crashTest) => {
  for (const point of [...failpoints.stopPod, ...failpoints.stopContainer]) {
    crashTest(`at ${point}`, async (scene) => {
      const pod = await scene.cri.pod()
      const container = await pod.run()
      await crashAt(scene, point, () => pod.stop())
      await pod.stop()
      assert.equal((await pod.status()).state, PodSandboxState.SANDBOX_NOTREADY)
      assert.equal((await container.status()).state, ContainerState.CONTAINER_EXITED)
      const address = scene.survivor.pod.ip()
      const leases = (await scene.cri.node.leaks()).filter((line) => line.startsWith('IPAM lease'))
      assert.equal(leases.length, 1, `only the survivor’s: ${await address}`)
      await pod.remove()
    })
  }
  for (const point of [...failpoints.removePod, ...failpoints.removeContainer]) {
    crashTest(`at ${point}, of the pod’s removal`, async (scene) => {
      const pod = await scene.cri.pod()
      await pod.run()
      await crashAt(scene, point, () => pod.remove())
      await pod.remove()
      await eventually('it is gone', async () => {
        const { items } = await scene.cri.runtime.listPodSandbox({})
        return items.length === 1
      })
    })
  }
})
