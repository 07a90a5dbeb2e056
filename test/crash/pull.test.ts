// kill -9 of the daemon at many moments of a pull: afterwards the image is there whole or not at all, the next pull succeeds,
// and a container from it has every file.
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { slowRegistry } from '@coracle/testkit/slow-registry'
import { crashTests } from './scene.ts'

const FILES = Array.from({ length: 4 }, (_, at) => `noise-${at}`)
const MIB = 1 << 20

crashTests('kill -9 during PullImage', (crashTest) => {
  for (const delayMs of [20, 60, 120, 180, 240, 320, 450, 700]) {
    crashTest(`${delayMs} ms after its begin`, async (scene) => {
      const { cri } = scene
      await using slow = await slowRegistry(cri.registry.host, { blobDelayMs: 60 })
      const image = cri.images.big.replace(cri.registry.host, slow.host)
      const pull = cri.image.pullImage({ image: { image } }).then(
        () => 'answered',
        () => 'failed',
      )
      await sleep(delayMs)
      await cri.node.kill9()
      const outcome = await pull
      await cri.node.restart()
      const { image: found } = await cri.image.imageStatus({ image: { image } })
      if (outcome === 'answered') assert.ok(found, 'what was answered for is there')
      const { imageRef } = await cri.image.pullImage({ image: { image } })
      if (found) assert.equal(found.id, imageRef)
      await using pod = await cri.pod()
      const container = await pod.run({ image: { image: imageRef } })
      assert.equal(await container.sh(`cat ${FILES.map((name) => `/${name}`).join(' ')} | wc -c`), String(FILES.length * 3 * MIB))
      await container.remove()
      await cri.image.removeImage({ image: { image: imageRef } })
    })
  }

  crashTest('many times over leaves no files of the attempts', async (scene) => {
    const { cri } = scene
    const before = sizeOf(cri.node.world.root)
    await using slow = await slowRegistry(cri.registry.host, { blobDelayMs: 30 })
    const image = cri.images.big.replace(cri.registry.host, slow.host)
    for (let round = 0; round < 5; round++) {
      const pull = cri.image.pullImage({ image: { image } }).catch(() => undefined)
      await sleep(60 + round * 50)
      await cri.node.kill9()
      await pull
      await cri.node.restart()
    }
    await cri.image.removeImage({ image: { image } })
    const deadline = Date.now() + 20_000
    while (sizeOf(cri.node.world.root) > before + 2 * MIB) {
      assert.ok(Date.now() < deadline, `${sizeOf(cri.node.world.root)} bytes, ${before} before`)
      await sleep(500)
    }
  })
})

/** Bytes of all files below, without those of database journals. */
function sizeOf(directory: string): number {
  let total = 0
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    try {
      const stats = statSync(join(directory, name))
      if (stats.isFile() && !/-(wal|shm)$/.test(name)) total += stats.size
    } catch {
      // Gone meanwhile.
    }
  }
  return total
}
