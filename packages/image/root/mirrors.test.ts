// Which endpoint gives a layer when others send something else.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codeOf, explain } from '@coracle/base/errors'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld, type ImagesWorld } from './images-world.ts'

describe('mirrors with other bytes', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())
  const layerOf = (name: string) => {
    const tar = rawTar({ name, body: Buffer.alloc(100_000, name) })
    return { tar, blob: gzipSync(tar) }
  }
  let wrongBytes = 0
  const sendsOthers = (registry: FaultRegistry, path: string, config: string) =>
    registry.fault((request, response) => {
      if (!request.url?.includes(`/${path}/blobs/`) || request.url.includes(config)) return false
      response.end(Buffer.alloc(wrongBytes))
      return true
    })

  test('R-06 however many there are, the next one is asked; when none is left the error names all', async () => {
    const layer = layerOf('many')
    wrongBytes = layer.blob.length
    const { config } = world.registry.addImage('many', '1', [layer])
    const mirrors = await Promise.all(Array.from({ length: 4 }, () => startFaultRegistry()))
    try {
      for (const mirror of mirrors) {
        mirror.addImage('many', '1', [layer])
        sendsOthers(mirror, 'many', config)
      }
      world.images.setRegistries({ mirrors: { [world.registry.host]: mirrors.map(({ host }) => host) } })
      const { id } = await world.pull('many:1')
      await world.images.remove(id)
      const remove = sendsOthers(world.registry, 'many', config)
      await assert.rejects(world.pull('many:1'), (err) => {
        assert.ok(['data_loss', 'invalid_argument'].includes(codeOf(err)))
        for (const { host } of [...mirrors, world.registry]) assert.ok(explain(err).includes(host), `${host}: ${explain(err)}`)
        return true
      })
      remove()
    } finally {
      for (const mirror of mirrors) await mirror[Symbol.asyncDispose]()
    }
  })

  test('R-06 one at another path of the same host does not stand for the host', async () => {
    const layer = layerOf('path')
    wrongBytes = layer.blob.length
    const { config } = world.registry.addImage('path', '1', [layer])
    world.registry.addImage('cache/path', '1', [layer])
    sendsOthers(world.registry, 'cache/path', config)
    world.images.setRegistries({ mirrors: { [world.registry.host]: [`${world.registry.url}/v2/cache`] } })
    assert.equal((await world.pull('path:1')).id, config)
  })
})
