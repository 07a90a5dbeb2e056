// Downloads that are cut off and gone on with, by another process or another try.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { delay } from '@coracle/base/signals'
import { eventually } from '@coracle/testkit/eventually'
import { type LayerSource, sha256 } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { startProgram } from '@coracle/testkit/program'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld, type ImagesWorld, kill } from './images-world.ts'

const half = 1024 * 1024

describe('interrupted downloads', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld({ keptAfterMs: 0 })
  })
  after(() => world[Symbol.asyncDispose]())
  beforeEach(() => void world.registry.requests.splice(0))

  const kept = () => readdirSync(join(world.directory, 'root/downloads'))
  const layerOf = (name: string): LayerSource & { blob: Buffer } => {
    const tar = rawTar({ name, body: randomBytes(2 * half).toString('latin1') })
    return { tar, blob: tar, mediaType: 'application/vnd.oci.image.layer.v1.tar' }
  }
  const ranges = (blob: Buffer) =>
    world.registry.requests.filter(({ url }) => url.endsWith(sha256(blob))).map(({ headers }) => headers.range)
  /** Sends so many bytes of a whole blob, then nothing. */
  const stopAfter = (blob: Buffer, bytes: number) =>
    world.registry.fault((request, response) => {
      if (!request.url?.endsWith(sha256(blob)) || request.headers.range !== undefined) return false
      response.writeHead(200, { 'content-length': blob.length })
      response.write(blob.subarray(0, bytes))
      return true
    })
  /** A pull of another process that is killed when half of the layer is there. Resolves to the name of what it left. */
  const killedPull = async (name: string, blob: Buffer): Promise<string> => {
    await world.images.close()
    const remove = stopAfter(blob, half)
    const program = await startProgram({
      argv: [process.execPath, join(import.meta.dirname, 'pull-program.ts'), world.directory, world.ref(`${name}:1`)],
      logPath: join(world.directory, 'log'),
    })
    await eventually('half of it came', async () => ranges(blob).length > 0 && kept().length > 0, { timeoutMs: 60_000 })
    await delay(500)
    await program.kill9()
    remove()
    const [part = ''] = kept()
    world.registry.requests.splice(0)
    return part
  }

  test('kill -9 in the middle of a pull: the next process goes on by Range, and leaves nothing', async () => {
    const layer = layerOf('killed')
    world.registry.addImage('killed', '1', [layer])
    assert.match(await killedPull('killed', layer.blob), /@0\.part$/)
    await world.reopen()
    await world.pull('killed:1')
    const [range = '', ...others] = ranges(layer.blob)
    assert.deepEqual(others, [])
    assert.ok(Number(/^bytes=(\d+)-$/.exec(range)?.[1]) >= half / 2, range)
    assert.deepEqual(kept(), [])
  })

  test('what came before it was kept is fetched again, and no more', async () => {
    const layer = layerOf('late')
    world.registry.addImage('late', '1', [layer])
    const part = await killedPull('late', layer.blob)
    const at = (name: string) => join(world.directory, 'root/downloads', name)
    renameSync(at(part), at(part.replace('@0.', '@5000.')))
    await world.reopen()
    await world.pull('late:1')
    const [head, tail = '', ...others] = ranges(layer.blob)
    assert.equal(head, 'bytes=0-4999')
    assert.ok(Number(/^bytes=(\d+)-$/.exec(tail)?.[1]) >= half / 2, tail)
    assert.deepEqual([others, kept()], [[], []])
  })

  test('C-11 a part that a power loss has spoilt is thrown away, and everything is downloaded again', async () => {
    const layer = layerOf('spoilt')
    world.registry.addImage('spoilt', '1', [layer])
    const part = await killedPull('spoilt', layer.blob)
    writeFileSync(join(world.directory, 'root/downloads', part), Buffer.alloc(half))
    await world.reopen()
    await world.pull('spoilt:1')
    assert.deepEqual(ranges(layer.blob), [`bytes=${half}-`, undefined])
    assert.deepEqual(kept(), [])
  })

  test('a registry without ranges sends everything again', async () => {
    const layer = layerOf('plain')
    world.registry.addImage('plain', '1', [layer])
    await killedPull('plain', layer.blob)
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.endsWith(sha256(layer.blob))) return false
      response.writeHead(200, { 'content-length': layer.blob.length }).end(layer.blob)
      return true
    })
    await world.reopen()
    await world.pull('plain:1')
    remove()
    assert.deepEqual(kept(), [])
  })

  test('other bytes at the second try, under another ETag, are not glued to the first: the pull fails', async () => {
    const layer = layerOf('changed')
    world.registry.addImage('changed', '1', [layer])
    await killedPull('changed', layer.blob)
    const other = randomBytes(layer.blob.length)
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.endsWith(sha256(layer.blob))) return false
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const range = from > 0 ? { 'content-range': `bytes ${from}-${other.length - 1}/${other.length}` } : {}
      response.writeHead(from > 0 ? 206 : 200, { etag: '"other"', 'content-length': other.length - from, ...range })
      response.end(other.subarray(from))
      return true
    })
    await world.reopen()
    await assert.rejects(world.pull('changed:1'), /changed:1/)
    assert.deepEqual(kept(), [])
    remove()
    await world.pull('changed:1')
  })

  test('a try that is given up is gone on with by the next, also when the worker is killed', async () => {
    const layer = layerOf('again')
    world.registry.addImage('again', '1', [layer])
    const remove = stopAfter(layer.blob, half)
    const caller = new AbortController()
    const pull = world.pull('again:1', { signal: caller.signal })
    await eventually('half of it came', async () => kept().length > 0, { timeoutMs: 60_000 })
    await delay(300)
    caller.abort(new Error('given up'))
    await assert.rejects(pull, /given up/)
    remove()
    for (const pid of world.workers) kill(pid)
    await world.pull('again:1')
    assert.match(ranges(layer.blob).at(-1) ?? '', /^bytes=[1-9]\d+-$/)
    assert.deepEqual(kept(), [])
  })

  test('parts that nobody came back for go after a day', async () => {
    const path = join(world.directory, 'root/downloads', `${'0'.repeat(64)}-${'1'.repeat(16)}@0.part`)
    writeFileSync(path, 'x')
    await world.reopen()
    assert.equal(kept().length, 1)
    utimesSync(path, Date.now() / 1000 - 90_000, Date.now() / 1000 - 90_000)
    await world.reopen()
    assert.deepEqual(kept(), [])
  })
})
