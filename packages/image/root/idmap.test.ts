// Root file systems of pods with user namespaces: the same layers, other owners, nothing copied.
import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import type { LayerSource } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'

const layer = (...entries: RawEntry[]): LayerSource => ({ tar: rawTar(...entries) })
const file = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, body: name, ...more })
const dir = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, type: '5', mode: 0o755, ...more })

const base = 300_000

describe('idmapped root file systems', needsRoot(), () => {
  let world: ImagesWorld
  const idmap = { usernsPath: '', rootUid: base, rootGid: base + 1 }
  before(async () => {
    world = await createImagesWorld()
    const directory = join(world.directory, 'ns')
    const mapping = (hostID: number) => [{ containerID: 0, hostID, size: 65536 }]
    world.host.namespaces.pin({ directory, kinds: [], userMappings: { uids: mapping(base), gids: mapping(base + 1) } })
    idmap.usernsPath = join(directory, 'user')
  })
  after(async () => {
    await world.host.namespaces.unpin(join(world.directory, 'ns'))
    await world[Symbol.asyncDispose]()
  })

  const views = () => readdirSync(join(world.directory, 'state/idmap'))

  test('layers belong to the pod’s ids, whiteouts and order as ever, the disk untouched', async () => {
    world.registry.addImage('mapped', '1', [
      layer(dir('etc'), file('etc/a'), file('etc/gone'), file('mine', { uid: 1000, gid: 50 })),
      layer(file('etc/.wh.gone'), file('high', { uid: 65535 }), file('out', { uid: 65536 })),
    ])
    const image = await world.pull('mapped:1')
    const { path } = await world.images.createRootfs({ key: 'c1', image: image.id, idmap }, soon())
    const owner = (name: string) => [lstatSync(join(path, name)).uid, lstatSync(join(path, name)).gid]
    assert.deepEqual(owner('.'), [base, base + 1])
    assert.deepEqual(owner('etc/a'), [base, base + 1])
    assert.deepEqual(owner('mine'), [base + 1000, base + 51])
    assert.deepEqual(owner('high'), [base + 65535, base + 1])
    // What the mapping does not hold is nobody's.
    assert.equal(owner('out')[0], 65534)
    assert.deepEqual(readdirSync(join(path, 'etc')), ['a'])
    assert.deepEqual(views(), [])
    // Only the pod's root may go to it, and set-user-ID files of an image are out of everybody else's reach.
    const above = statSync(join(path, '..'))
    assert.deepEqual([above.mode & 0o777, above.uid, above.gid], [0o700, base, base + 1])
    const layers = join(world.directory, 'root/layers')
    for (const name of readdirSync(layers)) assert.equal(statSync(join(layers, name)).uid, 0)
    await world.images.createRootfs({ key: 'c2', image: image.id }, soon())
    assert.equal(statSync(join(world.directory, 'state/rootfs/c2/etc/a')).uid, 0)
  })

  test('is found again after a restart, and leaves nothing', async () => {
    await world.reopen('crash')
    const path = join(world.directory, 'state/userns/c1/rootfs')
    assert.equal(readFileSync(join(path, 'etc/a'), 'utf8'), 'etc/a')
    await world.images.unmountRootfs('c1')
    assert.ok(!existsSync(join(world.directory, 'state/userns/c1')))
    assert.ok(existsSync(world.images.writableLayer('c1')))
    for (const key of ['c1', 'c1', 'c2']) await world.images.removeRootfs(key)
    assert.deepEqual(readdirSync(join(world.directory, 'root/containers')), [])
    assert.deepEqual(readdirSync(join(world.directory, 'state/userns')), [])
  })

  test('what a kill left between the layers and the overlay goes with the root file system', async () => {
    const image = world.images.find(world.ref('mapped:1'))
    assert.ok(image)
    await world.images.createRootfs({ key: 'c3', image: image.id, idmap }, soon())
    const left = join(world.directory, 'state/idmap/c3/0')
    mkdirSync(left, { recursive: true })
    const source = join(world.directory, 'root/layers')
    const request = { source, destination: left, usernsPath: idmap.usernsPath, recursive: false, timeoutMs: 5000 }
    await world.host.mounts.mountClone(request, soon())
    await world.reopen('crash')
    await world.images.removeRootfs('c3')
    assert.deepEqual(views(), [])
  })

  test('thirty, in turns with plain ones, leave nothing; the difference is told', async () => {
    const image = world.images.find(world.ref('mapped:1'))
    assert.ok(image)
    const times = { plain: [] as number[], idmapped: [] as number[] }
    for (let i = 0; i < 30; i++)
      for (const kind of ['plain', 'idmapped'] as const) {
        const key = `${kind}${i}`
        const start = performance.now()
        await world.images.createRootfs({ key, image: image.id, ...(kind === 'plain' ? {} : { idmap }) }, soon())
        times[kind].push(performance.now() - start)
        await world.images.removeRootfs(key)
      }
    const told = Object.entries(times).map(([kind, list]) => {
      const [fastest = 0, ...slower] = list.toSorted((x, y) => x - y)
      return `${kind} ${fastest.toFixed(2)}, median ${slower[14]?.toFixed(2)}`
    })
    console.log(`root file system, fastest ms: ${told.join('; ')}`)
    assert.deepEqual([...views(), ...readdirSync(join(world.directory, 'state/userns'))], [])
    assert.deepEqual(world.images.rootfsKeys(), [])
  })

  test('a file system that cannot be mapped is refused, and nothing is left', async () => {
    const image = world.images.find(world.ref('mapped:1'))
    assert.ok(image)
    // A user namespace without mappings maps no file system, as one that cannot be mapped at all.
    const request = { key: 'c4', image: image.id, idmap: { ...idmap, usernsPath: '/proc/self/ns/user' } }
    await assert.rejects(world.images.createRootfs(request, soon()), (err) => codeOf(err) === 'failed_precondition')
    assert.deepEqual(world.images.rootfsKeys(), [])
    assert.deepEqual([...views(), ...readdirSync(join(world.directory, 'state/userns'))], [])
  })
})
