import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { parseReference } from '@coracle/oci-spec/reference'
import type { LayerSource } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import type { PullProgress } from '../src/images.ts'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'

const layer = (...entries: RawEntry[]): LayerSource => ({ tar: rawTar(...entries) })
const file = (name: string, body = name, more: Partial<RawEntry> = {}): RawEntry => ({ name, body, ...more })
const dir = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, type: '5', mode: 0o755, ...more })

describe('images', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const layersOnDisk = () => readdirSync(join(world.directory, 'root/layers'))
  const withRootfs = async <T>(name: string, look: (path: string) => T | Promise<T>): Promise<T> => {
    const image = world.images.find(world.ref(name))
    assert.ok(image)
    const { path } = await world.images.createRootfs({ key: 'look', image: image.id }, soon())
    try {
      return await look(path)
    } finally {
      await world.images.removeRootfs('look')
    }
  }

  test('an image pulled by tag: names, config, size, and the same after a restart', async () => {
    const { manifest, config } = world.registry.addImage('a/one', '1', [layer(file('f')), layer(file('g'))])
    const seen: PullProgress[] = []
    const image = await world.images.pull(
      { reference: parseReference(world.ref('a/one:1')), onProgress: (p) => seen.push(p) },
      soon(),
    )
    assert.equal(image.id, config)
    assert.deepEqual(image.tags, [world.ref('a/one:1')])
    assert.deepEqual(image.digests, [world.ref(`a/one@${manifest}`)])
    assert.deepEqual(image.config.cmd, ['/x'])
    assert.ok(image.sizeBytes > 0 && JSON.parse(image.rawConfig).os === 'linux')
    assert.deepEqual(
      seen.at(-1)?.layers.map(({ state }) => state),
      ['done', 'done'],
    )
    const { rawConfig: _raw, ...before } = image
    await world.reopen()
    const again = world.images.find(world.ref('a/one:1'))
    assert.ok(again)
    const { rawConfig, ...after } = again
    assert.deepEqual(after, before)
    assert.equal(JSON.parse(rawConfig).os, 'linux')
  })

  test('find() by id, short id, tag, digest; F-04 an ambiguous prefix is an error', async () => {
    const image = world.images.find(world.ref('a/one:1'))
    assert.ok(image)
    const hex = image.id.slice(7)
    for (const name of [
      image.id,
      hex,
      hex.slice(0, 3),
      hex.slice(0, 20),
      `sha256:${hex.slice(0, 12)}`,
      ...image.tags,
      ...image.digests,
      `${image.tags[0]}@${image.digests[0]?.split('@')[1]}`,
    ])
      assert.equal(world.images.find(name)?.id, image.id, name)
    for (const name of ['', 'ab', 'nothing', 'f'.repeat(64), '../x', world.ref('a/one:2'), world.ref('a/one')])
      assert.equal(world.images.find(name), undefined, name)
    // 4097 images would have a prefix of 3 digits in common; a handful of tries finds two that begin with the same one of 16 * 16 * 16.
    for (let i = 0; i < 200 && !ambiguous(); i++) {
      world.registry.addImage('many', String(i), [layer(file('f'))], { created: String(i) })
      await world.pull(`many:${i}`)
    }
    const prefix = ambiguous()
    assert.ok(prefix)
    assert.throws(
      () => world.images.find(prefix),
      (err) => codeOf(err) === 'invalid_argument',
    )
    for (const { id } of world.images.list().filter(({ tags }) => tags[0]?.includes('/many:'))) await world.images.remove(id)
  })
  const ambiguous = (): string | undefined => {
    const prefixes = world.images.list().map(({ id }) => id.slice(7, 10))
    return prefixes.find((prefix, i) => prefixes.indexOf(prefix) !== i)
  }

  test('pulled by digest: no tag, exactly that digest; it stays when a tag comes and goes', async () => {
    const { manifest, config } = world.registry.addImage('a/digest', '1', [layer(file('d'))])
    const image = await world.pull(`a/digest@${manifest}`)
    assert.deepEqual([image.tags, image.digests], [[], [world.ref(`a/digest@${manifest}`)]])
    const tagged = await world.pull('a/digest:1')
    assert.deepEqual([tagged.id, tagged.tags, tagged.digests], [config, [world.ref('a/digest:1')], image.digests])
    await world.images.remove(world.ref('a/digest:1'))
    assert.deepEqual(world.images.find(config)?.tags, [])
    await world.images.remove(world.ref(`a/digest@${manifest}`))
    assert.equal(world.images.find(config), undefined)
  })

  test("an index: the platform's manifest, recorded by the digest of the index; M-01 none fits", async () => {
    const { manifest } = world.registry.addImage('a/index', 'inner', [layer(file('i'))])
    const size = 0
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    const bytes = (await (await fetch(`${world.registry.url}/v2/a/index/manifests/inner`)).arrayBuffer()).byteLength
    const entry = (platform: object) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: manifest,
      size: bytes + size,
      platform,
    })
    const index = (platform: object) =>
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        manifests: [entry({ os: 'unknown', architecture: 'unknown' }), entry({ os: 'plan9', architecture }), entry(platform)],
      })
    const digest = world.registry.addManifest('a/index', '1', { mediaType, body: index({ os: 'linux', architecture }) })
    assert.deepEqual((await world.pull('a/index:1')).digests, [world.ref(`a/index@${digest}`)])
    world.registry.addManifest('a/index', '2', { mediaType, body: index({ os: 'linux', architecture: 's390x' }) })
    await assert.rejects(world.pull('a/index:2'), (err) => codeOf(err) === 'not_found' && /plan9.*s390x/.test(explain(err)))
  })

  test('a tag that moves leaves the old image without it', async () => {
    const first = world.registry.addImage('a/moves', '1', [layer(file('old'))])
    await world.pull('a/moves:1')
    const second = world.registry.addImage('a/moves', '1', [layer(file('new'))])
    assert.equal((await world.pull('a/moves:1')).id, second.config)
    const old = world.images.find(first.config)
    assert.deepEqual([old?.tags, old?.digests], [[], [world.ref(`a/moves@${first.manifest}`)]])
    await world.images.remove(first.config)
    await world.images.remove(second.config)
  })

  test('remove() by id drops all names, by one of two tags only that; shared layers stay as long as needed', async () => {
    const shared = layer(file('shared'))
    const a = world.registry.addImage('a/x', '1', [shared, layer(file('x'))])
    world.registry.addImage('b/y', '1', [shared, layer(file('y'))])
    await world.pull('a/x:1')
    world.registry.addManifest('c/z', '9', {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      body: await bodyOf('a/x', '1'),
    })
    await world.pull('c/z:9')
    await world.pull('b/y:1')
    const before = layersOnDisk().length
    await world.images.remove(world.ref('c/z:9'))
    assert.deepEqual(world.images.find(a.config)?.tags, [world.ref('a/x:1')])
    await world.pull('c/z:9')
    await world.images.remove(a.config)
    assert.equal(world.images.find(world.ref('c/z:9')), undefined)
    assert.equal(layersOnDisk().length, before - 1)
    await world.images.remove(world.ref('b/y:1'))
    assert.equal(layersOnDisk().length, before - 3)
    await world.images.remove(world.ref('b/y:1'))
    await world.images.remove('never-heard-of')
  })
  const bodyOf = async (repository: string, reference: string) =>
    Buffer.from(await (await fetch(`${world.registry.url}/v2/${repository}/manifests/${reference}`)).arrayBuffer())

  test('W-02 a whiteout of what no lower layer has is not seen', async () => {
    world.registry.addImage('ghosts', '1', [
      layer(dir('old'), file('old/x')),
      layer(
        file('new/.wh.x', ''),
        file('new/y'),
        file('new/.wh.z', ''),
        dir('hidden'),
        file('hidden/.wh.a', ''),
        file('hidden/.wh..wh..opq', ''),
      ),
    ])
    const image = await world.pull('ghosts:1')
    const { path } = await world.images.createRootfs({ key: 'g', image: image.id }, soon())
    assert.deepEqual(
      ['', 'new', 'hidden'].map((name) => readdirSync(join(path, name)).sort()),
      [['hidden', 'new', 'old'], ['y'], []],
    )
    rmSync(join(path, 'new'), { recursive: true })
    mkdirSync(join(path, 'new'))
    assert.deepEqual(readdirSync(join(path, 'new')), [])
    await world.images.removeRootfs('g')
    await world.images.remove(image.id)
  })

  test('pinned by pattern', () => {
    const pinned = (...patterns: string[]) => {
      world.images.setPinned(patterns)
      return world.images.find(world.ref('a/one:1'))?.pinned
    }
    assert.deepEqual(
      [pinned(world.ref('a/one:1')), pinned(`${world.registry.host}/a/*`), pinned('*/one:*'), pinned('one'), pinned()],
      [true, true, true, false, false],
    )
  })

  test('a root file system: layers in order, whiteouts, writes that go only up', async () => {
    world.registry.addImage('fs', '1', [
      layer(dir('etc'), file('etc/a', 'old'), file('etc/gone'), dir('var'), file('var/hidden'), dir('d'), file('d/x')),
      layer(
        file('etc/a', 'new'),
        file('etc/.wh.gone', ''),
        dir('var'),
        file('var/.wh..wh..opq', ''),
        file('var/seen'),
        file('.wh.d', ''),
      ),
    ])
    const image = await world.pull('fs:1')
    const { path } = await world.images.createRootfs({ key: 'c1', image: image.id }, soon())
    assert.deepEqual(readdirSync(path).sort(), ['etc', 'var'])
    assert.equal(readFileSync(join(path, 'etc/a'), 'utf8'), 'new')
    assert.deepEqual([readdirSync(join(path, 'etc')), readdirSync(join(path, 'var'))], [['a'], ['seen']])
    writeFileSync(join(path, 'etc/a'), 'mine')
    mkdirSync(join(path, 'd'))
    assert.deepEqual(readdirSync(world.images.writableLayer('c1')).sort(), ['d', 'etc'])
    await world.images.createRootfs({ key: 'c2', image: image.id }, soon())
    assert.equal(readFileSync(join(world.directory, 'state/rootfs/c2/etc/a'), 'utf8'), 'new')
    await world.images.unmountRootfs('c1')
    assert.equal(existsSync(path), false)
    assert.deepEqual(readdirSync(world.images.writableLayer('c1')).sort(), ['d', 'etc'])
    assert.deepEqual([...world.images.rootfsKeys()].sort(), ['c1', 'c2'])
    for (const key of ['c1', 'c2', 'c2']) await world.images.removeRootfs(key)
    assert.deepEqual(world.images.rootfsKeys(), [])
    assert.deepEqual(readdirSync(join(world.directory, 'root/containers')), [])
    await assert.rejects(
      world.images.createRootfs({ key: '../x', image: image.id }, soon()),
      (err) => codeOf(err) === 'invalid_argument',
    )
  })

  test('R-27 layers in use outlive the image, and go with the last container, also over a restart', async () => {
    const { config } = world.registry.addImage('inuse', '1', [layer(file('u'))])
    const before = layersOnDisk().length
    const image = await world.pull('inuse:1')
    const { path } = await world.images.createRootfs({ key: 'user', image: image.id }, soon())
    await world.images.remove(config)
    assert.equal(readFileSync(join(path, 'u'), 'utf8'), 'u')
    await world.reopen('crash')
    assert.equal(readFileSync(join(path, 'u'), 'utf8'), 'u')
    assert.deepEqual(world.images.rootfsKeys(), ['user'])
    assert.equal(layersOnDisk().length, before + 1)
    await world.images.removeRootfs('user')
    assert.equal(layersOnDisk().length, before)
    await assert.rejects(
      world.images.createRootfs({ key: 'user', image: image.id }, soon()),
      (err) => codeOf(err) === 'not_found',
    )
  })

  test("T-21 a lower layer's link is hidden by an upper layer's directory", async () => {
    world.registry.addImage('t21', '1', [layer({ name: 'd', type: '2', link: '/canary' }), layer(file('d/x'))])
    await world.pull('t21:1')
    await withRootfs('t21:1', (path) =>
      assert.ok(lstatSync(join(path, 'd')).isDirectory() && existsSync(join(path, 'd/x')) && !existsSync(join(path, 'canary'))),
    )
  })

  test('W-07 an opaque root hides the layers below, whatever the order in the archive, and nothing of its own', async () => {
    world.registry.addImage('w07', '1', [
      layer(file('low'), file('d/low')),
      layer(file('mid'), file('.wh..wh..opq', ''), file('d/mid')),
      layer(file('top')),
    ])
    await world.pull('w07:1')
    const look = (path: string) => [readdirSync(path).sort(), readdirSync(join(path, 'd'))]
    assert.deepEqual(await withRootfs('w07:1', look), [['d', 'mid', 'top'], ['mid']])
    await world.images.remove(world.ref('w07:1'))
  })

  test('directories that an upper layer leaves out keep the metadata of the lower ones', async () => {
    world.registry.addImage('implied', '1', [
      layer(
        dir('tmp', { mode: 0o1777, mtime: 77 }),
        dir('home', { mode: 0o750, uid: 5 }),
        dir('home/u', { mode: 0o700, uid: 6, gid: 7 }),
        dir('gone', { mode: 0o700 }),
        ...[file('again/x'), file('again'), dir('again', { mode: 0o711 })],
      ),
      layer(file('tmp/x'), file('home/u/f'), file('.wh.gone', ''), file('fresh/f'), file('again/f')),
      layer(file('gone/f')),
    ])
    await world.pull('implied:1')
    const look = (path: string) => {
      const show = (name: string) => {
        const { mode, uid, gid } = statSync(join(path, name))
        return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`
      }
      return ['tmp', 'home', 'home/u', 'gone', 'fresh', 'again'].map(show)
    }
    assert.deepEqual(await withRootfs('implied:1', look), ['1777 0:0', '750 5:0', '700 6:7', '755 0:0', '755 0:0', '711 0:0'])
    await withRootfs('implied:1', (path) => assert.deepEqual(readdirSync(path).sort(), ['again', 'fresh', 'gone', 'home', 'tmp']))
    await world.images.remove(world.ref('implied:1'))
  })

  test('C-10 the same layer twice, an empty one, 128 layers; none is refused', async () => {
    const same = layer(file('same'))
    world.registry.addImage('c10', 'twice', [same, layer(file('other')), same, { tar: rawTar() }])
    await world.pull('c10:twice')
    await withRootfs('c10:twice', (path) => assert.deepEqual(readdirSync(path).sort(), ['other', 'same']))
    world.registry.addImage(
      'c10',
      '128',
      Array.from({ length: 128 }, (_, i) => layer(file(`f${i}`))),
    )
    await world.pull('c10:128')
    await withRootfs('c10:128', (path) => assert.equal(readdirSync(path).length, 128))
    world.registry.addImage('c10', 'none', [])
    await assert.rejects(world.pull('c10:none'), (err) => /no layers/.test(explain(err)))
    await world.images.remove(world.ref('c10:128'))
  })

  test('C-08 M-13 a config that does not fit its manifest', async () => {
    world.registry.addImage('bad', 'count', [layer(file('f'))], { rootfs: { type: 'layers', diff_ids: [] } })
    await assert.rejects(world.pull('bad:count'), (err) => codeOf(err) === 'invalid_argument' && /diff_ids/.test(explain(err)))
    world.registry.addImage('bad', 'os', [layer(file('f'))], { os: 'windows' })
    await assert.rejects(world.pull('bad:os'), (err) => codeOf(err) === 'failed_precondition' && /windows/.test(explain(err)))
  })

  test('usage: layers by their size, containers by a count', async () => {
    const before = await world.images.imageUsage(soon())
    world.registry.addImage('usage', '1', [layer(file('f', 'x'.repeat(1_000_000)))])
    await world.pull('usage:1')
    const usage = await world.images.imageUsage(soon())
    assert.ok(statSync(usage.mountpoint).isDirectory())
    assert.equal(usage.usedBytes - before.usedBytes, 1_003_520n + 4096n)
    assert.equal(usage.inodesUsed - before.inodesUsed, 2n)
    const containers = await world.images.containerUsage(soon())
    assert.ok(statSync(containers.mountpoint).isDirectory() && containers.inodesUsed > 0n)
  })
})
