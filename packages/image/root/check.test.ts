// The store's check and repair: what a disk may lose is found, only that is fetched again, and nothing is made on what is damaged.
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codeOf } from '@coracle/base/errors'
import { armFailpoints } from '@coracle/base/failpoint'
import { type DiffId, parseDigest } from '@coracle/oci-spec/digest'
import { eventually } from '@coracle/testkit/eventually'
import { type LayerSource, sha256 } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { paxHeader, rawTar } from '@coracle/testkit/tar-builder'
import type { StoreCheckSummary, StoreFinding } from '../src/mod.ts'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'

const layerOf = (name: string, body = `content of ${name}`): LayerSource => {
  const tar = rawTar({ name: 'd/', type: '5', mode: 0o755 }, { name: `d/${name}`, body, mtime: 100 })
  return { tar, blob: gzipSync(tar) }
}

describe('check of the store', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())
  const at = (...parts: readonly string[]) => join(world.directory, 'root', ...parts)
  const check = async (options: { deep?: boolean; repair?: boolean } = {}) => {
    const findings: StoreFinding[] = []
    const { deep = false, repair = false } = options
    const onFinding = (finding: StoreFinding) => void findings.push(finding)
    const summary: StoreCheckSummary = await world.images.check({ deep, repair, onFinding }, soon())
    return { findings, summary, problems: findings.flatMap(({ problems }) => problems).join('\n') }
  }
  /** Pulls an image of two layers; `upper` is the file of the one on top, below the layers' directory. */
  const pulled = async (name: string) => {
    const layers = [layerOf(`${name}-low`), layerOf(`${name}-up`)]
    const { config } = world.registry.addImage(name, '1', layers)
    const image = await world.pull(`${name}:1`)
    const [upper = ''] = readdirSync(at('layers')).filter((layer) => readdirSync(at('layers', layer, 'd')).includes(`${name}-up`))
    return { image, id: parseDigest('id', config), layers, upper: at('layers', upper, 'd', `${name}-up`), number: upper }
  }
  const downloads = (layer: LayerSource | undefined) =>
    world.registry.requests.filter(({ url }) => url.endsWith(sha256(layer?.blob ?? ''))).length

  test('a sound store has no findings', async () => {
    const { layers } = await pulled('sound')
    const { findings, summary } = await check({ deep: true })
    assert.deepEqual(findings, [])
    assert.equal(summary.left, 0)
    assert.ok(summary.layers >= layers.length && summary.files >= 6 && summary.bytesRead > 0 && summary.images === 1)
  })

  test('a truncated file: the image is marked, no container is made on it, only its layer is downloaded again', async () => {
    const { id, layers, upper, image } = await pulled('cut')
    await world.images.createRootfs({ key: 'running', image: id }, soon())
    truncateSync(upper, 3)
    utimesSync(upper, 100, 100)
    const { findings, summary } = await check()
    assert.deepEqual([findings[0]?.kind, findings[0]?.images, findings[0]?.containers], ['layer', [id], ['running']])
    assert.equal(summary.left, 1)
    assert.match(world.images.find(id)?.damage ?? '', /cut-up" has 3 bytes/)
    await assert.rejects(world.images.createRootfs({ key: 'new', image: id }, soon()), (err) => codeOf(err) === 'data_loss')
    await world.reopen()
    await assert.rejects(world.images.createRootfs({ key: 'new', image: id }, soon()), (err) => codeOf(err) === 'data_loss')
    const before = layers.map(downloads)
    const repaired = await check({ repair: true })
    assert.deepEqual([repaired.findings[0]?.repair, repaired.summary.left], ['done', 0])
    assert.match(repaired.findings[0]?.repairDetail ?? '', /pulled again from .*cut@sha256:.*containers that run keep/)
    assert.deepEqual(layers.map(downloads), [before[0], (before[1] ?? 0) + 1])
    const { path } = await world.images.createRootfs({ key: 'new', image: id }, soon())
    assert.equal(readFileSync(join(path, 'd/cut-up'), 'utf8'), 'content of cut-up')
    // The one that ran stands on the old copy, which stays exactly as long as it.
    const running = join(world.directory, 'state/rootfs/running/d/cut-up')
    assert.equal(readFileSync(running, 'utf8'), 'con')
    const copies = () => readdirSync(at('layers')).filter((n) => readdirSync(at('layers', n, 'd')).includes('cut-up')).length
    assert.equal(copies(), 2)
    await world.reopen()
    assert.equal(copies(), 2)
    assert.deepEqual((await check()).findings, [])
    await world.images.removeRootfs('running')
    assert.equal(copies(), 1)
    await world.images.removeRootfs('new')
    assert.deepEqual(world.images.find(id)?.tags, image.tags)
    assert.deepEqual((await check({ deep: true })).findings, [])
  })

  test('directories that an upper layer leaves out keep times before 1970', async () => {
    const low = rawTar(paxHeader({ mtime: '-5000' }), { name: 'old/', type: '5', mode: 0o755 })
    const up = rawTar({ name: 'old/new', body: 'x' })
    world.registry.addImage('before-1970', '1', [
      { tar: low, blob: gzipSync(low) },
      { tar: up, blob: gzipSync(up) },
    ])
    await world.pull('before-1970:1')
    assert.deepEqual((await check()).findings, [])
    await world.images.remove(world.ref('before-1970:1'))
  })

  test('changed content is found by reading it, and mended by the next pull as well', async () => {
    const { id, upper } = await pulled('flipped')
    writeFileSync(upper, readFileSync(upper).fill(0x58))
    utimesSync(upper, 100, 100)
    assert.deepEqual((await check()).findings, [])
    assert.match((await check({ deep: true })).problems, /flipped-up" has other content/)
    // Not forgotten by a check that does not look as close.
    assert.match((await check()).problems, /flipped-up" has other content/)
    assert.equal((await world.pull('flipped:1')).damage, undefined)
    const { path } = await world.images.createRootfs({ key: 'c', image: id }, soon())
    assert.equal(readFileSync(join(path, 'd/flipped-up'), 'utf8'), 'content of flipped-up')
    await world.images.removeRootfs('c')
    assert.deepEqual((await check({ deep: true })).findings, [])
  })

  test('missing layer, missing record, missing row: found and mended in one go', async () => {
    const [a, b, c] = [await pulled('gone'), await pulled('unrecorded'), await pulled('rowless')]
    renameSync(at('layers', a.number), join(world.directory, 'away'))
    rmSync(at('trees', b.number))
    await world.images.close()
    using db = new DatabaseSync(at('images.db'))
    db.prepare('DELETE FROM layers WHERE number = ?').run(Number.parseInt(c.number, 36))
    db.close()
    await world.reopen('crash')
    const { problems } = await check()
    for (const expected of [/its directory is missing/, /its tree record is missing/, /it is not in the index/])
      assert.match(problems, expected)
    const { summary } = await check({ repair: true })
    assert.deepEqual([summary.findings, summary.left], [3, 0])
    for (const { id } of [a, b, c]) assert.equal(world.images.find(id)?.damage, undefined)
    assert.deepEqual((await check({ deep: true })).findings, [])
  })

  test('orphans are found and removed; what a pull in flight makes is none', async () => {
    for (const path of ['layers/zz', 'trees/zz', 'staging/left']) mkdirSync(at(path))
    const layer = layerOf('slow')
    world.registry.addImage('slow', '1', [layer])
    const { promise: go, resolve } = Promise.withResolvers<void>()
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.endsWith(sha256(layer.blob ?? ''))) return false
      reach()
      void go.then(() => response.end(layer.blob))
      return true
    })
    const pull = world.pull('slow:1')
    await reached
    const found = await check()
    assert.deepEqual(found.findings.map(({ subject }) => subject).sort(), [at('layers/zz'), at('staging/left'), at('trees/zz')])
    assert.equal((await check({ repair: true })).summary.left, 0)
    remove()
    resolve()
    await pull
    assert.deepEqual((await check({ deep: true })).findings, [])
  })

  test('a record of an image that the disk changed: pulled again with its names', async () => {
    const { id, image } = await pulled('changed')
    await world.images.close()
    using db = new DatabaseSync(at('images.db'))
    db.prepare("UPDATE images SET config = CAST(CAST(config AS TEXT) || ' ' AS BLOB) WHERE id = ?").run(id)
    db.close()
    await world.reopen('crash')
    assert.match((await check()).problems, /its config is not what its id says/)
    assert.equal((await check({ repair: true })).summary.left, 0)
    assert.deepEqual(world.images.find(id)?.tags, image.tags)
    assert.deepEqual((await check()).findings, [])
  })

  test('what cannot be mended says why, and exits as damage', async () => {
    const { id, upper } = await pulled('nowhere')
    truncateSync(upper, 1)
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.includes('/nowhere/')) return false
      response.writeHead(404).end()
      return true
    })
    const { findings, summary } = await check({ repair: true })
    remove()
    assert.deepEqual([findings[0]?.repair, summary.left], ['failed', 1])
    assert.match(findings[0]?.repairDetail ?? '', /404/)
    await world.images.remove(id)
    assert.deepEqual((await check()).findings, [])
  })

  test('after a power loss what was written last is checked before a container is made on it', async () => {
    const [damaged, whole] = [await pulled('power'), await pulled('strong')]
    await world.reopen()
    // As if another boot had left it, without a clean end.
    await world.images.close()
    const session = JSON.parse(readFileSync(at('session.json'), 'utf8'))
    writeFileSync(at('session.json'), JSON.stringify({ ...session, bootId: 'another', clean: false, sinceMs: 0 }))
    writeFileSync(damaged.upper, Buffer.alloc(readFileSync(damaged.upper).length))
    utimesSync(damaged.upper, 100, 100)
    await world.reopen('crash')
    await assert.rejects(world.images.createRootfs({ key: 'c', image: damaged.id }, soon()), (err) => codeOf(err) === 'data_loss')
    await world.images.createRootfs({ key: 'c', image: whole.id }, soon())
    await world.images.removeRootfs('c')
    assert.equal((await world.pull('power:1')).damage, undefined)
    await world.images.close()
    assert.equal(JSON.parse(readFileSync(at('session.json'), 'utf8')).clean, true)
    await world.reopen('crash')
  })

  test('a store of the first schema is taken over: of its layers only the directories can be looked for', async () => {
    const { id, upper } = await pulled('old')
    await world.images.close()
    rmSync(at('trees'), { recursive: true })
    const db = new DatabaseSync(at('images.db'))
    for (const column of ['tree_digest', 'damage', 'skeleton_digest']) db.exec(`ALTER TABLE layers DROP COLUMN ${column}`)
    db.exec('PRAGMA user_version = 1')
    db.close()
    await world.reopen('crash')
    truncateSync(upper, 1)
    const { findings, summary } = await check({ deep: true })
    assert.deepEqual(findings, [])
    assert.ok(summary.unrecorded > 0 && summary.unrecorded === summary.layers)
    await world.images.createRootfs({ key: 'c', image: id }, soon())
    await world.images.removeRootfs('c')
  })

  test('a skeleton that is missing or has a bit flipped is found, and its layer pulled again so that it can leave the store', async () => {
    const { id, layers, number } = await pulled('boned')
    const skeleton = at('skeletons', number)
    const diffId = sha256(layers[1]?.tar ?? '') as DiffId
    const archive = async () => Buffer.concat(await Array.fromAsync(world.images.transfers.readLayer(diffId, 'archive', soon())))
    const bytes = readFileSync(skeleton)
    bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20)
    writeFileSync(skeleton, bytes)
    assert.deepEqual((await check()).findings, [])
    const [found] = (await check({ deep: true })).findings
    assert.deepEqual([found?.kind, found?.subject, found?.images], ['skeleton', diffId, [id]])
    assert.match(found?.problems.join() ?? '', /has other bytes/)
    // It can be used all the same.
    assert.equal(world.images.find(id)?.damage, undefined)
    await assert.rejects(archive())
    rmSync(skeleton)
    const before = layers.map(downloads)
    const offline = world.registry.fault((_request, response) => {
      response.writeHead(404).end()
      return true
    })
    assert.deepEqual(
      (await check({ repair: true })).findings.map(({ kind, repair }) => [kind, repair]),
      [['skeleton', 'failed']],
    )
    assert.equal(world.images.find(id)?.damage, undefined)
    offline()
    const { findings, summary } = await check({ repair: true })
    assert.deepEqual([findings[0]?.kind, findings[0]?.repair, summary.left], ['skeleton', 'done', 0])
    assert.match(findings[0]?.problems.join() ?? '', /is missing/)
    assert.deepEqual(layers.map(downloads), [before[0], (before[1] ?? 0) + 1])
    assert.deepEqual(await archive(), layers[1]?.tar)
    assert.deepEqual((await check({ deep: true })).findings, [])
  })

  test('a repair while an image is pulled takes nothing of it away', async () => {
    const layer = layerOf('under way')
    const { config } = world.registry.addImage('meanwhile', '1', [layer])
    const before = readdirSync(at('layers')).length
    armFailpoints('image.pull.renamed=delay:3000')
    const pull = world.pull('meanwhile:1')
    await eventually('the layer is at its place', async () => readdirSync(at('layers')).length > before)
    assert.deepEqual((await check({ repair: true })).findings, [])
    assert.equal(world.images.find(parseDigest('id', config)), undefined)
    const { id } = await pull
    const { path } = await world.images.createRootfs({ key: 'c', image: id }, soon())
    assert.equal(readFileSync(join(path, 'd/under way'), 'utf8'), 'content of under way')
    await world.images.removeRootfs('c')
    assert.deepEqual((await check({ deep: true })).findings, [])
  })

  test('C-11 a kept blob with a bit flipped is found by reading it, and is not handed out', async () => {
    await using keeping = await createImagesWorld({ keepBlobs: true })
    const layer = layerOf('kept')
    keeping.registry.addImage('kept', '1', [layer])
    await keeping.pull('kept:1')
    const [name = ''] = readdirSync(join(keeping.directory, 'root/blobs'))
    const path = join(keeping.directory, 'root/blobs', name)
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
    writeFileSync(path, bytes)
    const found: StoreFinding[] = []
    const options = { deep: true, repair: true, onFinding: (finding: StoreFinding) => void found.push(finding) }
    const { left } = await keeping.images.check(options, soon())
    assert.deepEqual([found.map(({ kind }) => kind), left, existsSync(path)], [['blob'], 0, false])
  })
})
