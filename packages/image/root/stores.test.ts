// More than one place for images and containers: read-only stores that are used where they lie, and disks of their own.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { parseReference } from '@coracle/oci-spec/reference'
import type { LayerSource } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'

const layerOf = (name: string): LayerSource => ({ tar: rawTar({ name, body: `content of ${name}` }) })
/** Every path, size and time of a tree. */
const snapshot = (path: string): string =>
  execFileSync('/usr/bin/find', [path, '-printf', '%p %s %T@ %C@\n'], { encoding: 'utf8' })

describe('additional stores', needsRoot(), () => {
  let given: ImagesWorld
  let store: string
  let untouched: string
  const [base, top] = [layerOf('base'), layerOf('top')]
  before(async () => {
    given = await createImagesWorld()
    given.registry.addImage('given', '1', [base, top])
    await given.pull('given:1')
    await given.images.close()
    // Mounted read-only: the kernel is the witness that nothing is written.
    store = join(given.directory, 'store')
    mkdirSync(store)
    execFileSync('/bin/mount', ['--bind', join(given.directory, 'root'), store])
    execFileSync('/bin/mount', ['-o', 'remount,bind,ro', store])
    untouched = snapshot(store)
  })
  after(async () => {
    execFileSync('/bin/umount', [store])
    await given.reopen()
    await given[Symbol.asyncDispose]()
  })

  const withStore = () => createImagesWorld({ additionalStores: [store, '/no/such/store'] })
  const name = () => given.ref('given:1')
  const root = (world: ImagesWorld, path: string) => join(world.directory, 'root', path)

  test('its images are there, pinned, and containers run on them without a copy', async () => {
    await using world = await withStore()
    const image = world.images.find(name())
    assert.ok(image?.readOnly && image.pinned && image.damage === undefined)
    assert.equal(JSON.parse(image.rawConfig).os, 'linux')
    const { path } = await world.images.createRootfs({ key: 'c', image: image.id }, soon())
    assert.equal(readFileSync(join(path, 'base'), 'utf8'), 'content of base')
    writeFileSync(join(path, 'top'), 'mine')
    assert.deepEqual(readdirSync(root(world, 'layers')), [])
    assert.equal((await world.images.imageUsage(soon())).usedBytes, 0n)
    await world.images.removeRootfs('c')
    await assert.rejects(world.images.remove(name()), (err) => codeOf(err) === 'failed_precondition')
    const findings: string[] = []
    await world.images.check({ deep: true, repair: true, onFinding: ({ subject }) => void findings.push(subject) }, soon())
    assert.deepEqual(findings, [])
    const { layers } = await world.images.diskUsage(soon())
    assert.deepEqual(
      layers.map(({ readOnly, usedBytes }) => [readOnly, usedBytes]),
      [
        [true, 0n],
        [true, 0n],
      ],
    )
    assert.equal(snapshot(store), untouched)
  })

  test('a pull of what it has downloads nothing; an image of our own stands on its layers', async () => {
    await using world = await withStore()
    const own = layerOf('own')
    for (const [repository, layers] of Object.entries({ same: [base, top], mixed: [base, own] }))
      given.registry.addImage(repository, '1', layers)
    const before = given.registry.requests.length
    const pull = (text: string) => world.images.pull({ reference: parseReference(given.ref(text)) }, soon())
    const same = await pull('same:1')
    assert.equal(same.readOnly, false)
    const mixed = await pull('mixed:1')
    const blobs = given.registry.requests.slice(before).filter(({ url }) => url.includes('/blobs/'))
    // Two configs and the one layer that is new.
    assert.equal(blobs.length, 3)
    assert.equal(readdirSync(root(world, 'layers')).length, 1)
    const { path } = await world.images.createRootfs({ key: 'c', image: mixed.id }, soon())
    assert.deepEqual(readdirSync(path).sort(), ['base', 'own'])
    await world.images.remove(mixed.id)
    assert.equal(readdirSync(root(world, 'layers')).length, 1)
    await world.images.removeRootfs('c')
    assert.equal(readdirSync(root(world, 'layers')).length, 0)
    // The same image of ours goes, that of the store shows again.
    await world.images.remove(same.id)
    assert.equal(world.images.find(name())?.readOnly, true)
    assert.equal(snapshot(store), untouched)
  })

  test('without the store, an image that stood on it is marked and pulled again', async () => {
    const directory = join(given.directory, 'leaver')
    const first = await createImagesWorld({ additionalStores: [store] }, directory)
    const { config } = first.registry.addImage('leaver', '1', [base, top])
    await first.pull('leaver:1')
    await first.images.close()
    const second = await createImagesWorld({}, directory)
    assert.match(second.images.find(config)?.damage ?? '', /is not in the store/)
    second.registry.addImage('leaver', '1', [base, top])
    assert.equal((await second.pull('leaver:1')).damage, undefined)
    assert.equal(readdirSync(root(second, 'layers')).length, 2)
    await second[Symbol.asyncDispose]()
    await first.registry[Symbol.asyncDispose]()
  })
})

describe('disks of their own', needsRoot(), () => {
  test('images on one, writable layers on another', async () => {
    await using world = await createImagesWorld()
    const disk = join(world.directory, 'disk')
    mkdirSync(disk)
    world.host.mounts.mount({ type: 'tmpfs', source: 'tmpfs', destination: disk, options: ['size=32m'] })
    try {
      const directory = join(world.directory, 'split')
      {
        await using split = await createImagesWorld({ containersRoot: join(disk, 'c') }, directory)
        split.registry.addImage('image', '1', [layerOf('f')])
        const image = await split.pull('image:1')
        const { path } = await split.images.createRootfs({ key: 'c', image: image.id }, soon())
        writeFileSync(join(path, 'data'), Buffer.alloc(3_000_000))
        assert.equal(statSync(split.images.writableLayer('c')).dev, statSync(disk).dev)
        const [images, containers] = [await split.images.imageUsage(soon()), await split.images.containerUsage(soon())]
        assert.notEqual(statSync(images.mountpoint).dev, statSync(containers.mountpoint).dev)
        assert.ok(images.usedBytes > 0n && containers.usedBytes >= 3_000_000n)
        const usage = await split.images.diskUsage(soon())
        assert.deepEqual(usage.totals.map(({ path }) => path).sort(), [join(directory, 'root'), join(disk, 'c')].sort())
        assert.ok((usage.containers[0]?.usedBytes ?? 0n) >= 3_000_000n)
        // Their place cannot change while there are some.
        await split.images.close()
        await assert.rejects(createImagesWorld({}, directory), (err) => codeOf(err) === 'failed_precondition')
        await split.reopen()
        await split.images.removeRootfs('c')
        assert.equal(existsSync(join(disk, 'c/containers/c')), false)
        // The world removes its directory at the end of the scope.
      }
    } finally {
      await world.host.mounts.unmount(disk)
    }
  })
})
