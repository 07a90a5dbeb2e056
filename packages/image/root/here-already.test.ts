// Pulls of images that are here: what is asked of the registry then.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { needsRoot } from '@coracle/testkit/needs-root'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld, type ImagesWorld } from './images-world.ts'

const layerOf = (name: string) => ({ tar: rawTar({ name, body: randomBytes(1000) }) })

describe('images that are here', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  test('R-14 an image that is here is asked for by HEAD, which no registry counts; one that moved is fetched', async () => {
    const manifests = () =>
      world.registry.requests
        .filter(({ url }) => url.includes('/here/manifests/'))
        .map(({ method, url }) => `${method} ${url.split('/').at(-1)}`)
    const asked = async (name: string) => {
      world.registry.requests.length = 0
      return { image: await world.pull(name), manifests: manifests() }
    }
    const { manifest } = world.registry.addImage('here', '1', [layerOf('here')])
    const first = await asked('here:1')
    assert.deepEqual(first.manifests, ['GET 1'])
    const again = await asked('here:1')
    assert.deepEqual([again.manifests, again.image.id], [['HEAD 1'], first.image.id])
    assert.deepEqual((await asked(`here@${manifest}`)).manifests, [`HEAD ${manifest}`])
    assert.equal((await asked(`here:other@${manifest}`)).image.id, first.image.id)
    // Back and forth: the second time the older one is here still.
    world.registry.addImage('here', '1', [layerOf('there')])
    const moved = await asked('here:1')
    assert.deepEqual(moved.manifests, ['HEAD 1', 'GET 1'])
    assert.notEqual(moved.image.id, first.image.id)
    // A registry without HEAD, or without the header, is asked as ever; one that refuses refuses.
    for (const status of [404, 405, 200]) {
      const remove = world.registry.fault((request, response) => {
        if (request.method !== 'HEAD') return false
        response.writeHead(status).end()
        return true
      })
      assert.deepEqual((await asked('here:1')).manifests, ['HEAD 1', 'GET 1'])
      remove()
    }
    const remove = world.registry.fault((_request, response) => {
      response.writeHead(401).end()
      return true
    })
    await assert.rejects(world.pull('here:1'), (err) => codeOf(err) === 'unauthenticated')
    await assert.rejects(world.pull(`here@${manifest}`), (err) => codeOf(err) === 'unauthenticated')
    remove()
    await world.images.remove(moved.image.id)
    await world.images.remove(first.image.id)
    assert.deepEqual((await asked('here:1')).manifests, ['GET 1'])
  })
})
