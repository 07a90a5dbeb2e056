// Hard links whose target lies in a lower layer: what overlayfs does for link(2), done at the unpacking.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codeOf, explain } from '@coracle/base/errors'
import { loadUnpackSyscalls } from '@coracle/host/unpack-syscalls'
import { type DiffId, type ImageId, parseDigest } from '@coracle/oci-spec/digest'
import { type LayerSource, sha256 } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { paxHeader, type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import type { StoreFinding } from '../src/mod.ts'
import { dir, file, hardlink, symlink } from './hostile-archives.ts'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'

type Parts = readonly (RawEntry | Buffer)[]
const layerOf = (...parts: Parts): LayerSource => {
  const tar = rawTar(...parts)
  return { tar, blob: gzipSync(tar) }
}
const sys = loadUnpackSyscalls()
const isNowhere = (err: unknown) => /neither in the layer nor below it/.test(explain(err))
const links = layerOf(hardlink('link', 'd/file'))

describe('hard links into lower layers', needsRoot(), () => {
  let world: ImagesWorld
  let serial = 0
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const at = (...parts: readonly string[]) => join(world.directory, 'root', ...parts)
  const add = (...layers: readonly LayerSource[]): string => {
    const name = `image${++serial}`
    world.registry.addImage(name, '1', layers)
    return `${name}:1`
  }
  const pull = async (...layers: readonly LayerSource[]) => (await world.pull(add(...layers))).id
  const downloads = (layer: LayerSource) =>
    world.registry.requests.filter(({ method, url }) => method === 'GET' && url.endsWith(sha256(layer.blob ?? ''))).length
  /** Looks into a container's root. */
  const within = async <T>(image: ImageId, look: (path: (name: string) => string) => T): Promise<T> => {
    const { path } = await world.images.createRootfs({ key: 'look', image }, soon())
    try {
      return look((name) => join(path, name))
    } finally {
      await world.images.removeRootfs('look')
    }
  }
  const check = async (options: { deep?: boolean; repair?: boolean } = {}) => {
    const findings: StoreFinding[] = []
    const { deep = true, repair = false } = options
    await world.images.check({ deep, repair, onFinding: (finding) => void findings.push(finding) }, soon())
    return findings.map(({ problems, repairDetail }) => [...problems, repairDetail].join(' '))
  }
  const removeAll = async () => {
    for (const { id } of world.images.list()) await world.images.remove(id)
    assert.deepEqual(readdirSync(at('layers')), [])
  }
  const same = (path: (name: string) => string, a: string, b: string) => {
    const [x, y] = [lstatSync(path(a)), lstatSync(path(b))]
    assert.deepEqual([x.ino, x.nlink, y.nlink], [y.ino, 2, 2])
  }

  test('the target comes up with content, owner, mode, attributes and time, and both names are one file', async () => {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    const attributes = { 'SCHILY.xattr.user.a': 'b', 'SCHILY.xattr.security.capability': capability, mtime: '-99.5' }
    const body = 'x'.repeat(3_000_000)
    const low = layerOf(
      dir('d', { mode: 0o711, uid: 9, mtime: 77 }),
      paxHeader(attributes),
      file('d/file', body, { mode: 0o4751, uid: 5, gid: 6 }),
      file('d/other'),
    )
    const id = await pull(low, links)
    await within(id, (path) => {
      same(path, 'link', 'd/file')
      const stat = lstatSync(path('link'))
      assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.gid, stat.mtimeMs, stat.size], [0o4751, 5, 6, -99_500, body.length])
      assert.equal(readFileSync(path('link'), 'utf8'), body)
      const found = sys.xattrs(Buffer.from(path('link')))
      assert.deepEqual([found.get('user.a')?.toString(), found.get('security.capability')], ['b', capability])
      // The directory that had to be made for it still is as its own layer says.
      const parent = lstatSync(path('d'))
      assert.deepEqual([parent.mode & 0o7777, parent.uid, parent.mtimeMs], [0o711, 9, 77_000])
      assert.equal(readFileSync(path('d/other'), 'utf8'), 'x')
    })
    assert.deepEqual(await check(), [])
    await world.reopen()
    await within(id, (path) => assert.equal(readFileSync(path('link'), 'utf8'), body))
    // The archive is what it was: the image can leave the store.
    const diffId = sha256(links.tar) as DiffId
    const pieces: Buffer[] = []
    for await (const piece of world.images.transfers.readLayer(diffId, 'archive', soon())) pieces.push(Buffer.from(piece))
    assert.deepEqual(Buffer.concat(pieces), links.tar)
    assert.ok(world.images.transfers.read(id).layers.every(({ hasArchive }) => hasArchive))
  })

  test('the same layer over others is another one; each goes with its last image', async () => {
    await removeAll()
    const [low, other] = [layerOf(dir('d'), file('d/file', 'one')), layerOf(dir('d'), file('d/file', 'two'))]
    const [a, b] = [await pull(low, links), await pull(other, links)]
    const before = downloads(links)
    const again = await pull(low, links, layerOf(file('on top')))
    // Known by now: it is not tried alone, and over the same layers it is there.
    assert.equal(downloads(links), before)
    for (const [id, text] of [[a, 'one'] as const, [b, 'two'] as const, [again, 'one'] as const])
      await within(id, (path) => {
        same(path, 'link', 'd/file')
        assert.equal(readFileSync(path('link'), 'utf8'), text)
      })
    const copies = () => readdirSync(at('layers')).filter((name) => existsSync(at('layers', name, 'link'))).length
    assert.equal(copies(), 2)
    await world.images.remove(a)
    assert.equal(copies(), 2)
    await world.images.remove(b)
    assert.equal(copies(), 1)
    assert.deepEqual(await check(), [])
    await within(again, (path) => assert.equal(readFileSync(path('link'), 'utf8'), 'one'))
    // In an image that lacks the target it is refused, whatever others have.
    await assert.rejects(pull(layerOf(dir('d')), links), isNowhere)
    await removeAll()
  })

  test('pulled at once by many', async () => {
    const low = layerOf(dir('d'), file('d/file', 'shared'))
    const names = [1, 2, 3, 4].map((i) => add(low, links, layerOf(file(`own${i}`))))
    const images = await Promise.all(names.map((name) => world.pull(name)))
    for (const { id } of images) await within(id, (path) => same(path, 'link', 'd/file'))
    assert.equal(readdirSync(at('layers')).filter((name) => existsSync(at('layers', name, 'link'))).length, 1)
    await removeAll()
  })

  test('layers below that are such themselves, links to links, to a symbolic link, a device, a pipe', async () => {
    const id = await pull(
      layerOf(
        dir('d'),
        file('d/file', 'deep'),
        symlink('s', '/nowhere'),
        { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
        { name: 'pipe', type: '6', mode: 0o600 },
      ),
      layerOf(hardlink('one', 'd/file')),
      layerOf(hardlink('two', 'one'), hardlink('three', 'two'), hardlink('s2', 's')),
      layerOf(hardlink('null2', 'null'), hardlink('pipe2', 'pipe')),
    )
    await within(id, (path) => {
      assert.deepEqual(
        ['one', 'two', 'three'].map((name) => [lstatSync(path(name)).nlink, readFileSync(path(name), 'utf8')]),
        [
          [3, 'deep'],
          [3, 'deep'],
          [3, 'deep'],
        ],
      )
      // As overlayfs does without its index: what came up has left the names that stayed below.
      assert.equal(lstatSync(path('d/file')).nlink, 2)
      for (const [a, b] of [['s', 's2'] as const, ['null', 'null2'] as const, ['pipe', 'pipe2'] as const]) same(path, a, b)
      assert.equal(readlinkSync(path('s2')), '/nowhere')
      assert.deepEqual([lstatSync(path('null2')).rdev, lstatSync(path('null2')).isCharacterDevice()], [0x103, true])
    })
    assert.deepEqual(await check(), [])
    await removeAll()
  })

  const found: readonly (readonly [string, readonly Parts[], string, string?])[] = [
    ['the topmost layer that has it counts', [[dir('d'), file('d/file', 'old')], [file('d/file', 'new')]], 'new'],
    [
      'deleted, then made anew',
      [[dir('d'), file('d/file', 'old')], [file('.wh.d', '')], [dir('d'), file('d/file', 'anew')]],
      'anew',
    ],
    [
      'made in the layer that is opaque',
      [
        [dir('d'), file('d/x')],
        [dir('d'), file('d/.wh..wh..opq', ''), file('d/file', 'own')],
      ],
      'own',
    ],
    ['T-11 through a link inside', [[dir('real'), file('real/file', 'via')], [symlink('d', 'real')]], 'via', 'real/file'],
    [
      'T-12 through a link out of the root',
      [[dir('e'), file('e/file', 'rooted')], [symlink('d', '/../../e')]],
      'rooted',
      'e/file',
    ],
    [
      'T-12 through a chain of links',
      [[dir('e'), file('e/file', 'far')], [dir('m'), symlink('m/l', '../e/.')], [symlink('d', 'm/l/../e')]],
      'far',
      'e/file',
    ],
    ['a file beside the whiteout of another', [[dir('d'), file('d/file', 'kept'), file('d/x')], [file('d/.wh.x', '')]], 'kept'],
  ]
  for (const [name, below, text, place = 'd/file'] of found)
    test(`finds what a container would see: ${name}`, async () => {
      const id = await pull(...below.map((parts) => layerOf(...parts)), links)
      await within(id, (path) => {
        same(path, 'link', place)
        assert.equal(readFileSync(path('link'), 'utf8'), text)
      })
      assert.deepEqual(await check(), [])
    })

  const low = [dir('d'), file('d/file', 'secret')]
  const refused: readonly (readonly [string, readonly Parts[]])[] = [
    ['T-14 nothing anywhere', [[file('x')], [hardlink('h', 'd/file')]]],
    ['T-14 out of the root', [low, [hardlink('h', '../../d/file')]]],
    ['T-17 itself below', [low, [hardlink('d/file', 'd/file')]]],
    ['T-17 a directory below', [low, [hardlink('h', 'd')]]],
    ['T-17 a directory through a link', [[...low, symlink('l', '/')], [hardlink('h', 'l/d')]]],
    ['T-17 deleted by this layer', [low, [file('d/.wh.file', ''), hardlink('h', 'd/file')]]],
    ['T-17 its directory deleted by this layer', [low, [file('.wh.d', ''), hardlink('h', 'd/file')]]],
    ['deleted by a layer between', [low, [file('d/.wh.file', '')], [hardlink('h', 'd/file')]]],
    ['in a directory that a layer between deleted', [low, [file('.wh.d', '')], [hardlink('h', 'd/file')]]],
    ['in a directory that is opaque between', [low, [dir('d'), file('d/.wh..wh..opq', '')], [hardlink('h', 'd/file')]]],
    ['below a root that is opaque between', [low, [file('.wh..wh..opq', '')], [hardlink('h', 'd/file')]]],
    ['in a directory that is opaque in this layer', [low, [dir('d'), file('d/.wh..wh..opq', ''), hardlink('h', 'd/file')]]],
    ['T-20 below a file between', [low, [file('d', 'a file now')], [hardlink('h', 'd/file')]]],
    ['T-20 below a file of this layer', [low, [file('d', 'a file now'), hardlink('h', 'd/file')]]],
    ['T-13 a loop of links below', [[symlink('a', 'b'), symlink('b', 'a')], [hardlink('h', 'a/x')]]],
    ['T-13 links that grow', [[symlink('a', 'a/a/a')], [hardlink('h', 'a/x')]]],
    ['hidden by its name afterwards', [low, [hardlink('h', 'd/file'), file('d/.wh.file', '')]]],
    ['hidden with its directory afterwards', [low, [hardlink('h', 'd/file'), file('.wh.d', '')]]],
    ['hidden by an opaque directory afterwards', [low, [hardlink('h', 'd/file'), file('d/.wh..wh..opq', '')]]],
    ['hidden through a link afterwards', [low, [hardlink('h', 'd/file'), symlink('l', 'd'), file('l/.wh.file', '')]]],
    ['a layer that comes twice', [low, [hardlink('h', 'd/file')], [file('x')], [hardlink('h', 'd/file')]]],
  ]
  for (const [name, layers] of refused)
    test(`refuses a link to ${name}`, async () => {
      const image = add(...layers.map((parts) => layerOf(...parts)))
      await assert.rejects(world.pull(image), (err) => codeOf(err) === 'invalid_argument')
      assert.equal(world.images.find(world.ref(image)), undefined)
    })

  test('T-12 and T-14: what lies outside of the layers is never met, linked or changed', async () => {
    const canary = join(world.directory, 'canary')
    mkdirSync(canary)
    writeFileSync(join(canary, 'secret'), 'alive')
    chmodSync(join(canary, 'secret'), 0o600)
    for (const way of [
      canary,
      `../../../../../../..${canary}`,
      `/proc/self/root${canary}`,
      `/proc/1/root${canary}`,
      '/proc/self/cwd',
    ]) {
      const image = add(layerOf(symlink('out', way), file('x')), layerOf(symlink('l', 'out'), hardlink('h', 'l/secret')))
      await assert.rejects(world.pull(image), isNowhere)
      await assert.rejects(world.pull(add(layerOf(file('x')), layerOf(hardlink('h', `${canary}/secret`)))), isNowhere)
    }
    const { nlink, mode } = lstatSync(join(canary, 'secret'))
    assert.deepEqual([nlink, mode & 0o777, readFileSync(join(canary, 'secret'), 'utf8')], [1, 0o600, 'alive'])
  })

  test('the limits of a layer count what comes up', async () => {
    await using small = await createImagesWorld({ limits: { reserveBytes: 0, maxUnpackedBytes: 1_500_000 } })
    const big = [1, 2].map((i) => layerOf(file(`f${i}`, 'x'.repeat(1_000_000))))
    small.registry.addImage('big', '1', [...big, layerOf(hardlink('a', 'f1'), hardlink('b', 'f2'))])
    await assert.rejects(small.pull('big:1'), (err) => codeOf(err) === 'resource_exhausted')
  })

  test('check finds damage of such a layer, marks the image, and mends it by its layer alone', async () => {
    await removeAll()
    const lower = layerOf(dir('d'), file('d/file', 'content', { mtime: 100 }))
    const upper = layerOf(hardlink('link', 'd/file'), file('e'))
    const id = await pull(lower, upper)
    const find = () => readdirSync(at('layers')).find((name) => existsSync(at('layers', name, 'link'))) ?? ''
    const damaged = at('layers', find(), 'd/file')
    writeFileSync(damaged, 'CONTENT')
    const { atimeMs } = lstatSync(damaged)
    sys.setTime(Buffer.from(damaged), { seconds: 100, nanoseconds: 0 })
    assert.ok(atimeMs > 0)
    assert.match((await check()).join(), /"link" has other content/)
    await assert.rejects(world.images.createRootfs({ key: 'no', image: id }, soon()), (err) => codeOf(err) === 'data_loss')
    const before = [downloads(lower), downloads(upper)]
    assert.match((await check({ repair: true })).join(), /pulled again from/)
    assert.deepEqual([downloads(lower), downloads(upper)], [before[0], (before[1] ?? 0) + 1])
    await within(id, (path) => assert.equal(readFileSync(path('link'), 'utf8'), 'content'))
    assert.deepEqual(await check(), [])
    // The layer below is damaged, or gone: what is above has its own copy, and stays.
    const below = readdirSync(at('layers')).find((name) => name !== find() && existsSync(at('layers', name, 'd/file'))) ?? ''
    writeFileSync(at('layers', below, 'd/file'), 'CONTENT')
    sys.setTime(Buffer.from(at('layers', below, 'd/file')), { seconds: 100, nanoseconds: 0 })
    assert.match((await check({ repair: true })).join(), /pulled again from/)
    assert.deepEqual([downloads(lower), downloads(upper)], [(before[0] ?? 0) + 1, (before[1] ?? 0) + 1])
    await removeAll()
  })

  test('over layers of a read-only store', async () => {
    const other = await createImagesWorld({}, join(world.directory, 'made'))
    const lower = layerOf(dir('d'), file('d/file', 'from afar'))
    other.registry.addImage('base', '1', [lower])
    await other.pull('base:1')
    await other.images.close()
    await using user = await createImagesWorld({ additionalStores: [join(world.directory, 'made/root')] })
    const { config } = user.registry.addImage('app', '1', [lower, links])
    await user.pull('app:1')
    const image = parseDigest('id', config) as ImageId
    const { path } = await user.images.createRootfs({ key: 'c', image }, soon())
    assert.deepEqual([readFileSync(join(path, 'link'), 'utf8'), lstatSync(join(path, 'link')).nlink], ['from afar', 2])
    await user.images.removeRootfs('c')
    assert.equal(user.registry.requests.filter(({ url }) => url.endsWith(sha256(lower.blob ?? ''))).length, 0)
    await other.registry[Symbol.asyncDispose]()
  })
})
