// Full disks under the whole daemon: what needs space fails with an error that says so, what gives space back works, nothing that runs is
// disturbed, and when there is space again all is as before.
import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { ContainerState, PodSandboxState } from '@coracle/cri-api'
import { Store } from '@coracle/cri-api/store'
import { eventually } from '@coracle/testkit/eventually'
import { type Cri, criSuite, type PodUnderTest } from '../cri/suite.ts'

type What = 'byte' | 'inode'

/** Leaves not one. */
function fill(directory: string, what: What): Disposable {
  const path = join(directory, 'filler')
  if (what === 'inode') {
    mkdirSync(path)
    try {
      for (let i = 0; ; i++) closeSync(openSync(join(path, String(i)), 'wx'))
    } catch (err) {
      assert.equal(codeOf(err), 'resource_exhausted')
    }
    return { [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
  }
  const fd = openSync(path, 'wx')
  for (let bytes = 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(bytes))
    } catch {
      // The next smaller piece.
    }
  }
  closeSync(fd)
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) }
}

/** Succeeds or fails for want of space, saying so. */
async function orFull(what: string, call: Promise<unknown>): Promise<'done' | 'full'> {
  try {
    await call
    return 'done'
  } catch (err) {
    const text = explain(err)
    assert.match(text, /no space|no free inode|ENOSPC|disk quota|full/i, `${what}: ${text}`)
    assert.ok(['resource_exhausted'].includes(codeOf(err)), `${what}: ${codeOf(err)} ${text}`)
    return 'full'
  }
}

/** What kubelet asks all the time. */
async function readEverything({ runtime, image, node }: Cri, pod: PodUnderTest): Promise<void> {
  await runtime.status({})
  await runtime.version({})
  await runtime.listPodSandbox({})
  await runtime.listContainers({})
  await runtime.listContainerStats({})
  await runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true })
  await image.listImages({})
  assert.ok((await image.imageFsInfo({})).containerFilesystems.length > 0)
  await node.client.service(Store).diskUsage({})
}

async function findings({ node }: Cri): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { what } of node.client.service(Store).checkStore({ deep: true, repair: false }))
    if (what.case === 'finding') found.push(`${what.value.subject}: ${what.value.problems.join('; ')}`)
  return found
}

const sizes = { root: 160, state: 24, pods: 8 } as const

for (const [disk, what, inodes] of [
  ['root', 'byte', undefined],
  ['state', 'byte', undefined],
  ['pods', 'byte', undefined],
  ['root', 'inode', 3000],
] as const) {
  criSuite(
    `no ${what} free on the disk of ${disk}`,
    (cri) => {
      it('reads go on, what is new is refused, what goes gives way, and afterwards all is as before', async () => {
        const pods = [await cri.pod(), await cri.pod()] as const
        const [kept, gone] = [await pods[0].run(), await pods[1].run()]
        const other = await pods[1].create()
        {
          using _full = fill(cri.node.world[disk], what)
          await readEverything(cri, pods[0])
          const outcomes = [
            await orFull('create', pods[0].create()),
            await orFull('run a pod', cri.pod()),
            await orFull('exec', kept.exec(['true'])),
            await orFull('start', other.start()),
          ]
          if (disk === 'root') {
            assert.ok(outcomes.includes('full'), 'something needed space')
            await assert.rejects(cri.image.pullImage({ image: { image: cri.images.big } }), (err) => {
              assert.equal(codeOf(err), 'resource_exhausted')
              const cause = what === 'byte' ? 'has no space left' : 'has no free inode left'
              assert.match(explain(err), new RegExp(`the disk of ${cri.node.world.root}/images ${cause}`))
              return true
            })
            assert.deepEqual((await cri.image.imageStatus({ image: { image: cri.images.big } })).image, undefined)
          }
          // Stopping and removing need no free byte.
          await gone.stop(0)
          await gone.remove()
          await pods[1].stop()
          await pods[1].remove()
          await cri.image.removeImage({ image: { image: cri.images.entry } })
          assert.equal((await kept.status()).state, ContainerState.CONTAINER_RUNNING)
          assert.equal((await pods[0].status()).state, PodSandboxState.SANDBOX_READY)
        }
        // A restart is not needed.
        const { imageRef } = await cri.image.pullImage({ image: { image: cri.images.big } })
        await using fresh = await cri.pod()
        const container = await fresh.run({ image: { image: imageRef } })
        assert.equal(await container.sh('cat /noise-* | wc -c'), String(4 * 3 * 1024 * 1024))
        assert.equal(await kept.sh('echo alive'), 'alive')
        await eventually('nothing half-made is left', async () =>
          ['staging', 'trash'].every((name) => readdirSync(join(cri.node.world.root, 'images', name)).length === 0),
        )
        assert.deepEqual(await findings(cri), [])
      })

      it('a restart on the full disk serves, and lets go', async () => {
        const pod = await cri.pod()
        const container = await pod.run()
        {
          using _full = fill(cri.node.world[disk], what)
          await cri.node.kill9()
          const started = await cri.node.restart().then(
            () => true,
            () => false,
          )
          // Without a byte for its lock or its socket it cannot; it must once there is one.
          if (started) {
            await readEverything(cri, pod)
            await container.stop(0)
            await pod.remove()
          }
        }
        await cri.node.restart()
        await pod.remove()
        assert.deepEqual(await findings(cri), [])
      })
    },
    { disks: { [disk]: sizes[disk] }, ...(inodes === undefined ? {} : { inodes }) },
  )
}
