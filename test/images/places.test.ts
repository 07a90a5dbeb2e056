// Images and writable layers on disks of their own, and a read-only store beside them, as an operator configures them.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { Store } from '@coracle/cri-api/store'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { needsRoot } from '@coracle/testkit/needs-root'
import { run } from '@coracle/testkit/program'
import { Cri } from '../cri/suite.ts'

async function ok(...argv: readonly [string, ...string[]]): Promise<void> {
  const { exitCode, stderr } = await run(argv)
  assert.equal(exitCode, 0, `${argv.join(' ')}: ${stderr}`)
}

/** An empty file system of its own, gone with the scope. */
async function tmpfs(sizeMib: number): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = makeOwnDirectory('ct-disk-')
  await ok('mount', '-t', 'tmpfs', '-o', `mode=711,size=${sizeMib}m`, 'tmpfs', path)
  return {
    path,
    async [Symbol.asyncDispose]() {
      await ok('umount', path)
      rmSync(path, { recursive: true })
    },
  }
}

describe('places of images and containers', needsRoot(), () => {
  it('each on a disk of its own: ImageFsInfo tells both as kubelet wants them for split disks', async () => {
    await using images = await tmpfs(160)
    await using containers = await tmpfs(64)
    const places = `[images]\nroot = "${images.path}/i"\ncontainers_root = "${containers.path}/c"\n`
    await using cri = await new Cri().open({ config: places })
    await using pod = await cri.pod()
    const container = await pod.run()
    await container.sh('dd if=/dev/zero of=/data bs=1M count=5')
    const { imageFilesystems, containerFilesystems } = await cri.image.imageFsInfo({})
    assert.deepEqual([imageFilesystems.length, containerFilesystems.length], [1, 1])
    const device = (path = '') => statSync(path).dev
    assert.equal(device(imageFilesystems[0]?.fsId?.mountpoint), device(images.path))
    assert.equal(device(containerFilesystems[0]?.fsId?.mountpoint), device(containers.path))
    const { stats } = await cri.runtime.containerStats({ containerId: container.id })
    assert.equal(device(stats?.writableLayer?.fsId?.mountpoint), device(containers.path))
    const usage = await cri.node.client.service(Store).diskUsage({})
    assert.ok((usage.containers.find(({ key }) => key === container.id)?.usedBytes ?? 0n) >= 5n * 1024n * 1024n)
    const totals = usage.totals.map(({ path }) => path)
    assert.deepEqual(totals.toSorted(), [cri.node.world.root, `${images.path}/i`, `${containers.path}/c`].toSorted())
    await cri.node.kill9()
    await cri.node.restart()
    assert.equal(await container.sh('wc -c < /data'), String(5 * 1024 * 1024))
    await container.remove()
    assert.deepEqual(readdirSync(`${containers.path}/c/containers`), [])
  })

  it('an additional store: images without a pull, and nothing is written to it', async () => {
    const directory = makeOwnDirectory('ct-store-')
    const store = join(directory, 'store')
    mkdirSync(store)
    try {
      let image: string
      {
        await using giver = await new Cri().open({ config: `[images]\nroot = "${store}"\n` })
        image = giver.images.busybox
      }
      const index = readFileSync(join(store, 'images.db'))
      await ok('mount', '--bind', '-o', 'ro', store, store)
      try {
        await using cri = await new Cri().open({ config: `[images]\nadditional_stores = ["${store}"]\n` })
        // Opening has pulled the image: all its layers were there.
        assert.deepEqual(readdirSync(join(cri.node.world.root, 'images/layers')), [])
        await using pod = await cri.pod()
        const container = await pod.run({ image: { image } })
        assert.equal(await container.sh('echo from the store'), 'from the store')
        // Our own record goes, that of the store shows.
        await cri.image.removeImage({ image: { image } })
        const { image: found } = await cri.image.imageStatus({ image: { image } })
        assert.deepEqual([found?.pinned, found?.repoTags.includes(image)], [true, true])
        const again = await pod.run({ image: { image } })
        assert.equal(await again.sh('echo still'), 'still')
        await assert.rejects(
          cri.image.removeImage({ image: { image } }),
          (err) => codeOf(err) === 'failed_precondition' && /additional_stores/.test(String(err)),
        )
      } finally {
        await ok('umount', store)
      }
      assert.deepEqual(readFileSync(join(store, 'images.db')), index)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
