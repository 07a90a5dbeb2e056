// PullImage, ListImages, StreamImages, ImageStatus, RemoveImage, ImageFsInfo.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { beforeEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { slowRegistry } from '@coracle/testkit/slow-registry'
import { needs } from './differences.ts'
import { assertRecent, collect, elapsedMs, failsWith } from './expect.ts'
import { criSuite } from './suite.ts'

criSuite('images', (cri) => {
  const pull = async (image: string) => (await cri.image.pullImage({ image: { image } })).imageRef
  const find = async (image: string) => (await cri.image.imageStatus({ image: { image } })).image
  const removeAll = async () => {
    const { images } = await cri.image.listImages({})
    for (const { id } of images) await cri.image.removeImage({ image: { image: id } })
  }
  beforeEach(removeAll)

  describe('PullImage', () => {
    for (const kind of ['busybox', 'entry', 'index', 'docker', 'big'] as const) {
      it(`takes the image ${kind}, whatever its media types and compression, and it runs`, async () => {
        const imageRef = await pull(cri.images[kind])
        assert.equal(imageRef, (await find(cri.images[kind]))?.id)
        await using pod = await cri.pod()
        const container = await pod.run({
          image: { image: imageRef },
          command: ['sh', '-c', 'echo runs; ls /made-for-* 2>/dev/null; true'],
        })
        await container.exited()
        assert.match(container.output(), /^runs\n/)
      })
    }

    it('of the same image again gives the same id', async () => {
      assert.equal(await pull(cri.images.busybox), await pull(cri.images.busybox))
    })

    it('side by side gives one image', async () => {
      const refs = await Promise.all(Array.from({ length: 5 }, () => pull(cri.images.big)))
      assert.equal(new Set(refs).size, 1)
      assert.equal((await cri.image.listImages({})).images.length, 1)
    })

    it('side by side downloads each blob once', needs('pullSharing'), async () => {
      await using slow = await slowRegistry(cri.registry.host, { blobDelayMs: 300 })
      const image = cri.images.big.replace(cri.registry.host, slow.host)
      await Promise.all([pull(image), pull(image), pull(image)])
      const downloads = slow.requests().filter((path) => path.includes('/blobs/'))
      assert.equal(new Set(downloads).size, downloads.length, downloads.join('\n'))
    })

    it('by digest lists the digest and no tag', async () => {
      const ref = await pull(cri.images.busyboxByDigest)
      const image = await find(ref)
      assert.deepEqual(image?.repoTags, [])
      assert.deepEqual(image?.repoDigests, [cri.images.busyboxByDigest])
    })

    it('of something absent is not_found, and leaves nothing', async () => {
      await failsWith('not_found', pull(`${cri.registry.host}/test/absent:1`))
      await failsWith('not_found', pull(`${cri.registry.host}/test/busybox:absent`))
      assert.deepEqual((await cri.image.listImages({})).images, [])
    })

    it('of a registry that is not there fails, soon', async () => {
      const took = await elapsedMs(() => assert.rejects(pull('127.0.0.1:1/test/busybox:1')))
      assert.ok(took < 60_000)
    })

    it('stops at the deadline of its caller, and a later one succeeds', async () => {
      await using slow = await slowRegistry(cri.registry.host, { blobDelayMs: 3_000 })
      const image = cri.images.big.replace(cri.registry.host, slow.host)
      await failsWith('deadline_exceeded', cri.image.pullImage({ image: { image } }, { timeoutMs: 700 }))
      assert.deepEqual((await cri.image.listImages({})).images, [])
      await pull(image)
    })

    it('sends the credentials of the request, in each of their forms, to the registry alone', async () => {
      await using server = await slowRegistry(cri.registry.host, { credentials: 'someone:secret' })
      const image = cri.images.busybox.replace(cri.registry.host, server.host)
      await assert.rejects(pull(image))
      await assert.rejects(cri.image.pullImage({ image: { image }, auth: { username: 'someone', password: 'wrong' } }))
      await cri.image.pullImage({ image: { image }, auth: { username: 'someone', password: 'secret' } })
      await removeAll()
      await cri.image.pullImage({ image: { image }, auth: { auth: Buffer.from('someone:secret').toString('base64') } })
      assert.ok(server.requests().length > 0)
    })
  })

  describe('ListImages', () => {
    it('has one entry for each image, with all its tags and digests, a size and its user', async () => {
      const id = await pull(cri.images.busybox)
      await pull(cri.images.busyboxAgain)
      await pull(cri.images.userName)
      await pull(cri.images.userUid)
      const { images } = await cri.image.listImages({})
      assert.equal(images.length, 3)
      const busybox = images.find((image) => image.id === id)
      assert.deepEqual(busybox?.repoTags.toSorted(), [cri.images.busybox, cri.images.busyboxAgain].sort())
      assert.deepEqual(busybox?.repoDigests, [cri.images.busyboxByDigest])
      for (const image of images) assert.ok(image.size > 0n)
      const named = images.find(({ repoTags }) => repoTags.includes(cri.images.userName))
      assert.equal(named?.username, 'app')
      assert.equal(named?.uid, undefined)
      const numbered = images.find(({ repoTags }) => repoTags.includes(cri.images.userUid))
      assert.equal(numbered?.uid?.value, 1234n)
      assert.equal(numbered?.username, '')
    })

    it('filters by image', needs('imageFilter'), async () => {
      const id = await pull(cri.images.busybox)
      await pull(cri.images.entry)
      const ids = async (image: string) =>
        (await cri.image.listImages({ filter: { image: { image } } })).images.map((found) => found.id)
      assert.deepEqual(await ids(cri.images.busybox), [id])
      assert.deepEqual(await ids(id), [id])
      assert.deepEqual(await ids(`${cri.registry.host}/test/absent:1`), [])
    })
  })

  describe('StreamImages', needs('streams'), () => {
    it('gives the list', async () => {
      await pull(cri.images.busybox)
      await pull(cri.images.entry)
      const messages = await collect(cri.image.streamImages({}))
      const streamed = messages.flatMap(({ images }) => images.map(({ id }) => id))
      const { images } = await cri.image.listImages({})
      assert.deepEqual(streamed.sort(), images.map(({ id }) => id).sort())
    })
  })

  describe('ImageStatus', () => {
    it('is the same by id, bare id, tag and digest', async () => {
      const id = await pull(cri.images.busybox)
      const names = [id, id.replace('sha256:', ''), cri.images.busybox, cri.images.busyboxByDigest]
      for (const name of names) assert.deepEqual(await find(name), await find(id), name)
      assert.equal((await find(id))?.id, id)
    })

    it('is OK without an image for what is not here', async () => {
      assert.equal(await find(`${cri.registry.host}/test/absent:1`), undefined)
      assert.equal(await find('0123456789abcdef'.repeat(4)), undefined)
      assert.equal(await find(`sha256:${'0123456789abcdef'.repeat(4)}`), undefined)
    })

    it('gives info as JSON values when asked verbosely', async () => {
      const image = await pull(cri.images.entry)
      assert.deepEqual((await cri.image.imageStatus({ image: { image } })).info, {})
      const { info } = await cri.image.imageStatus({ image: { image }, verbose: true })
      assert.ok(Object.keys(info).length > 0)
      for (const value of Object.values(info)) assert.doesNotThrow(() => JSON.parse(value))
    })
  })

  describe('RemoveImage', () => {
    it('by id takes all its tags with it', async () => {
      const id = await pull(cri.images.busybox)
      await pull(cri.images.busyboxAgain)
      await cri.image.removeImage({ image: { image: id } })
      for (const name of [id, cri.images.busybox, cri.images.busyboxAgain]) assert.equal(await find(name), undefined)
      assert.deepEqual((await cri.image.listImages({})).images, [])
    })

    it('by one of its tags takes the image with all its tags', async () => {
      const id = await pull(cri.images.busybox)
      await pull(cri.images.busyboxAgain)
      await cri.image.removeImage({ image: { image: cri.images.busyboxAgain } })
      for (const name of [id, cri.images.busybox, cri.images.busyboxAgain]) assert.equal(await find(name), undefined)
    })

    it('by its only tag removes it', async () => {
      const id = await pull(cri.images.entry)
      await cri.image.removeImage({ image: { image: cri.images.entry } })
      assert.equal(await find(id), undefined)
    })

    it('by digest removes one that was pulled by digest', async () => {
      const id = await pull(cri.images.busyboxByDigest)
      await cri.image.removeImage({ image: { image: cri.images.busyboxByDigest } })
      assert.equal(await find(id), undefined)
    })

    it('is idempotent and succeeds for what is not here', async () => {
      await pull(cri.images.busybox)
      await cri.image.removeImage({ image: { image: cri.images.busybox } })
      await cri.image.removeImage({ image: { image: cri.images.busybox } })
      await cri.image.removeImage({ image: { image: `sha256:${'f'.repeat(64)}` } })
    })

    it('leaves a container that runs from it its files', async () => {
      const image = await pull(cri.images.busybox)
      await using pod = await cri.pod()
      const container = await pod.run({ image: { image } })
      await cri.image.removeImage({ image: { image } })
      assert.equal(await container.sh('ls /bin/busybox'), '/bin/busybox')
      assert.equal((await container.status()).id, container.id)
    })

    it('leaves layers that another image shares', async () => {
      const kept = await pull(cri.images.busybox)
      await pull(cri.images.entry)
      await cri.image.removeImage({ image: { image: cri.images.entry } })
      await using pod = await cri.pod()
      const container = await pod.run({ image: { image: kept } })
      assert.equal(await container.sh('echo runs'), 'runs')
    })
  })

  describe('ImageFsInfo', () => {
    it('has the image file system: a real directory, the time, bytes that grow with a pull', async () => {
      const usage = async () => {
        const { imageFilesystems } = await cri.image.imageFsInfo({})
        const [first] = imageFilesystems
        assert.ok(first)
        assert.ok(existsSync(first.fsId?.mountpoint ?? ''))
        assertRecent(first.timestamp)
        assert.ok(first.usedBytes && first.inodesUsed)
        return first.usedBytes.value
      }
      const before = await usage()
      // More than what the tests before have removed and containerd has not yet.
      const layer = [{ path: 'noise', body: randomBytes(24 << 20) }]
      await cri.registry.push('test/growth', '1', { layers: [layer], config: { Cmd: ['x'] } })
      await pull(`${cri.registry.host}/test/growth:1`)
      const deadline = Date.now() + 60_000
      while ((await usage()) < before + BigInt(3 << 20)) {
        assert.ok(Date.now() < deadline, 'it grows')
        await sleep(200)
      }
    })

    it('has the container file systems', needs('containerFilesystems'), async () => {
      const { imageFilesystems, containerFilesystems } = await cri.image.imageFsInfo({})
      assert.ok(containerFilesystems.length >= 1)
      // By a difference kubelet knows two disks.
      assert.deepEqual(containerFilesystems[0]?.fsId, imageFilesystems[0]?.fsId)
      assert.ok(containerFilesystems[0]?.usedBytes)
    })
  })
})
