// kill -9 of the daemon in the middle of what a user namespace adds: pins, idmapped layers, clones of volumes. Nothing may be left of it
// (which the node asserts at its end), and the same call must then succeed.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { crashAt, crashTests } from '../crash/scene.ts'
import { ids, inside, mapped } from './userns-scene.ts'

crashTests('kill -9 while a pod with a user namespace is made', (crashTest) => {
  for (const point of ['pod.local.held', 'pod.network.held', 'pod.release.local'])
    crashTest(`at ${point}`, async (scene) => {
      const { cri } = scene
      const config = cri.podConfig(mapped())
      const run = () => cri.runtime.runPodSandbox({ config })
      if (point === 'pod.release.local') {
        const { podSandboxId } = await run()
        cri.node.ids.add(podSandboxId)
        await crashAt(scene, point, () => cri.runtime.stopPodSandbox({ podSandboxId }))
        await cri.runtime.removePodSandbox({ podSandboxId })
      } else await crashAt(scene, point, run)
      const { podSandboxId } = await run()
      cri.node.ids.add(podSandboxId)
    })
})

crashTests('kill -9 while a container in a user namespace is made or removed', (crashTest) => {
  for (const point of ['container.rootfs', 'container.runtime-created', 'container.created', 'container.release'])
    crashTest(`at ${point}`, async (scene) => {
      const { cri } = scene
      const hostPath = join(cri.node.world.pods, 'volume')
      mkdirSync(hostPath)
      await using pod = await cri.pod(mapped())
      const mounts = [{ containerPath: '/data', hostPath, uidMappings: ids, gidMappings: ids }]
      const config = pod.containerConfig({ ...inside(), mounts })
      const create = async () => {
        const { containerId } = await cri.runtime.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config })
        cri.node.ids.add(containerId)
        return containerId
      }
      if (point === 'container.release') {
        const containerId = await create()
        await crashAt(scene, point, () => cri.runtime.removeContainer({ containerId }))
        await cri.runtime.removeContainer({ containerId })
      } else await crashAt(scene, point, create)
      assert.deepEqual(readdirSync(join(cri.node.world.state, 'images/idmap')), [])
      await cri.runtime.startContainer({ containerId: await create() })
    })
})
