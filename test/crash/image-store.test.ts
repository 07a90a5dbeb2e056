// The image store through crashes and failures at named places: an image is there whole or not at all, nothing is left over, what
// containers use stays, and the store's own check agrees.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Store } from '@coracle/cri-api/store'
import { eventually } from '@coracle/testkit/eventually'
import type { Cri } from '../cri/suite.ts'
import { failpoints } from './failpoints.ts'
import { crashAt, crashTests } from './scene.ts'

const FILES = Array.from({ length: 4 }, (_, at) => `/noise-${at}`)
const MIB = 1 << 20

/** The store's own deep check has no findings, and nothing waits in the places of work. */
async function assertSound(cri: Cri): Promise<void> {
  await eventually('the places of work are empty', async () =>
    ['staging', 'trash'].every((name) => readdirSync(join(cri.node.world.root, 'images', name)).length === 0),
  )
  for await (const { what } of cri.node.client.service(Store).checkStore({ deep: true, repair: false })) {
    if (what.case === 'finding') assert.fail(`${what.value.kind} ${what.value.subject}: ${what.value.problems.join('; ')}`)
  }
}

/** The image is pulled and a container of it has every byte. */
async function assertUsable(cri: Cri, image: string): Promise<void> {
  const { imageRef } = await cri.image.pullImage({ image: { image } })
  await using pod = await cri.pod()
  const container = await pod.run({ image: { image: imageRef } })
  assert.equal(await container.sh(`cat ${FILES.join(' ')} | wc -c`), String(FILES.length * 3 * MIB))
}

crashTests('kill -9 at the steps of PullImage', (crashTest) => {
  for (const point of failpoints.pullImage) {
    crashTest(`at ${point}`, async (scene) => {
      const { cri } = scene
      const image = cri.images.big
      await crashAt(scene, point, () => cri.image.pullImage({ image: { image } }))
      await assertSound(cri)
      const { image: found } = await cri.image.imageStatus({ image: { image } })
      const isRecorded = point === 'image.pull.recorded' || point === 'image.pull.flushed'
      // Recorded is recorded: a kill of the daemon takes nothing that was written.
      assert.equal(found !== undefined, isRecorded)
      await assertUsable(cri, image)
      await assertSound(cri)
    })
  }
})

crashTests('failures at the steps of PullImage', (crashTest) => {
  for (const point of failpoints.pullImage) {
    crashTest(`at ${point}`, async ({ cri }) => {
      const image = cri.images.big
      await cri.node.restart(['--failpoint', `${point}=throw`])
      await assert.rejects(cri.image.pullImage({ image: { image } }), /failpoint/)
      await assertSound(cri)
      await assertUsable(cri, image)
    })
  }
})

crashTests('kill -9 during the collection of layers', (crashTest) => {
  for (const point of failpoints.removeImage) {
    crashTest(`at ${point}`, async (scene) => {
      const { cri } = scene
      const image = cri.images.big
      await cri.image.pullImage({ image: { image } })
      const used = readdirSync(join(cri.node.world.root, 'images/layers')).length
      await crashAt(scene, point, () => cri.image.removeImage({ image: { image } }))
      assert.equal((await cri.image.imageStatus({ image: { image } })).image, undefined)
      await assertSound(cri)
      // Busybox's own layer, which the survivor stands on, is one that the image had too.
      assert.equal(readdirSync(join(cri.node.world.root, 'images/layers')).length, used - FILES.length)
      await assertUsable(cri, image)
    })
  }

  crashTest('a failure in it leaves what is used, and the next start the rest', async ({ cri }) => {
    const image = cri.images.big
    await cri.image.pullImage({ image: { image } })
    await cri.node.restart(['--failpoint', 'image.collect.forgotten=throw'])
    await assert.rejects(cri.image.removeImage({ image: { image } }), /failpoint/)
    await cri.node.restart()
    await assertSound(cri)
    await assertUsable(cri, image)
  })
})
