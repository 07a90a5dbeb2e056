// The disk of the store fails in the middle of a pull: the error names disk and cause, nothing half-made is left, and when the disk is
// well again the next pull works.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codeOf, explain } from '@coracle/base/errors'
import { type ImageId, parseDigest } from '@coracle/oci-spec/digest'
import { makeOwnDirectory } from '@coracle/testkit/belongings'
import { eventually } from '@coracle/testkit/eventually'
import { type LayerSource, sha256 } from '@coracle/testkit/fault-registry'
import { type LoopDisk, type LoopDiskOptions, makeLoopDisk } from '@coracle/testkit/loop-disk'
import { needsRoot } from '@coracle/testkit/needs-root'
import { rawTar } from '@coracle/testkit/tar-builder'
import { file } from './hostile-archives.ts'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'

const layerOf = (name: string, files: number, bytes: number): LayerSource => {
  const tar = rawTar(...Array.from({ length: files }, (_none, i) => ({ ...file(`${name}${i}`, ''), body: randomBytes(bytes) })))
  return { tar, blob: gzipSync(tar, { level: 1 }) }
}

/** A store whose root is on a disk of its own. */
async function onDisk(options: LoopDiskOptions, work: (world: ImagesWorld, disk: LoopDisk) => Promise<void>): Promise<void> {
  await using after = new AsyncDisposableStack()
  const directory = makeOwnDirectory('coracle-disk-')
  after.defer(() => rmdir(directory))
  const disk = after.use(await makeLoopDisk(join(directory, 'disk'), options))
  const world = after.use(await createImagesWorld({ root: disk.directory }, join(directory, 'world')))
  await work(world, disk)
}

const findings = async ({ images }: ImagesWorld) => {
  const found: string[] = []
  const onFinding = ({ subject, problems }: { subject: string; problems: readonly string[] }) =>
    void found.push(`${subject}: ${problems.join('; ')}`)
  await images.check({ deep: true, repair: false, onFinding }, soon())
  return found
}

describe('disks of the store that fail', needsRoot(), () => {
  for (const [what, options, cause] of [
    ['inodes', { sizeMiB: 64, inodes: 256 }, 'has no free inode left'],
    ['space', { sizeMiB: 24 }, 'has no space left'],
  ] as const)
    test(`R-26 no ${what} in the middle of a pull`, () =>
      onDisk(options, async (world, disk) => {
        const at = (name: string) => readdirSync(join(disk.directory, name))
        const { config } = world.registry.addImage('small', '1', [layerOf('s', 20, 1000)])
        const small = parseDigest('id', config) as ImageId
        await world.pull('small:1')
        const { path } = await world.images.createRootfs({ key: 'running', image: small }, soon())
        // Of several layers some come through.
        const layers = [1, 2, 3].map((i) => layerOf(`l${i}-`, what === 'inodes' ? 90 : 1, what === 'inodes' ? 10 : 9_000_000))
        world.registry.addImage('large', '1', layers)
        for (let round = 0; round < 2; round++)
          await assert.rejects(world.pull('large:1'), (err) => {
            assert.equal(codeOf(err), 'resource_exhausted')
            assert.match(explain(err), new RegExp(`large:1: the disk of ${disk.directory} ${cause}`))
            return true
          })
        assert.equal(world.images.find(world.ref('large:1')), undefined)
        assert.deepEqual(world.images.pulls(), [])
        await eventually('nothing half-made is left', async () => at('staging').length + at('trash').length === 0)
        assert.deepEqual(await findings(world), [])
        // What is there goes on.
        assert.equal(readFileSync(join(path, 's3')).length, 1000)
        writeFileSync(join(path, 'new'), 'written')
        await world.images.removeRootfs('running')
        // An image that fits.
        const fits = [layerOf('f', 30, 500)]
        world.registry.addImage('fits', '1', fits)
        await world.pull('fits:1')
        assert.deepEqual(await findings(world), [])
      }))

  test('T-51 an image of very many files leaves some inodes to what runs', () =>
    onDisk({ sizeMiB: 96, inodes: 20_000 }, async (world, disk) => {
      const { files, ffree } = statfsSync(disk.directory)
      let least = ffree
      const layer = layerOf('e', ffree - Math.floor(files / 200), 0)
      world.registry.addImage('many', '1', [layer])
      const watch = setInterval(() => {
        least = Math.min(least, statfsSync(disk.directory).ffree)
      }, 5)
      await assert
        .rejects(world.pull('many:1', { signal: AbortSignal.timeout(120_000) }), (err) => {
          assert.match(explain(err), /has no free inode left.* inodes are free, \d+ are kept in reserve/)
          return codeOf(err) === 'resource_exhausted'
        })
        .finally(() => clearInterval(watch))
      assert.ok(least > files / 200, `${least} of ${files}`)
      // Compiled code of the worker is kept.
      await eventually('they are free again', async () => statfsSync(disk.directory).ffree > ffree - 2000, { timeoutMs: 60_000 })
    }))

  test('R-26 no byte and no inode at the start: the index is not taken for damaged', () =>
    onDisk({ sizeMiB: 24, inodes: 200 }, async (world, disk) => {
      const { config } = world.registry.addImage('kept', '1', [layerOf('k', 5, 100)])
      const id = parseDigest('id', config) as ImageId
      await world.pull('kept:1')
      await world.images.close()
      const fillers: string[] = []
      try {
        for (;;) {
          const path = join(disk.directory, `filler${fillers.length}`)
          closeSync(openSync(path, 'wx'))
          fillers.push(path)
        }
      } catch (err) {
        assert.equal(codeOf(err), 'resource_exhausted')
      }
      assert.equal(statfsSync(disk.directory).ffree, 0)
      await assert.rejects(
        world.reopen('crash'),
        (err) => /has no free inode left|ENOSPC/.test(explain(err)) || assert.fail(explain(err)),
      )
      for (const path of fillers) rmSync(path)
      assert.deepEqual(
        readdirSync(disk.directory).filter((name) => name.includes('damaged')),
        [],
      )
      await world.reopen('crash')
      assert.equal(world.images.find(id)?.damage, undefined)
      assert.ok(world.images.find(id))
      assert.deepEqual(await findings(world), [])
    }))

  test('R-26 the disk becomes read-only in the middle of a pull', () =>
    onDisk({ sizeMiB: 64 }, async (world, disk) => {
      const kept = layerOf('k', 5, 100)
      const { config } = world.registry.addImage('kept', '1', [kept])
      const id = parseDigest('id', config) as ImageId
      await world.pull('kept:1')
      const layers = [layerOf('a', 1, 100_000), layerOf('b', 50, 40_000)]
      world.registry.addImage('late', '1', layers)
      const blob = layers[1]?.blob ?? Buffer.alloc(0)
      const { promise: half, resolve: onHalf } = Promise.withResolvers<void>()
      const { promise: go, resolve } = Promise.withResolvers<void>()
      const remove = world.registry.fault((request, response) => {
        if (!request.url?.endsWith(sha256(blob))) return false
        response.writeHead(200, { 'content-length': blob.length })
        response.write(blob.subarray(0, blob.length / 2), () => onHalf())
        void go.then(() => response.end(blob.subarray(blob.length / 2)))
        return true
      })
      const pull = world.pull('late:1')
      pull.catch(() => {})
      await half
      await disk.breakDown()
      resolve()
      await assert.rejects(pull, (err) => {
        assert.match(explain(err), new RegExp(`late:1: the disk of ${disk.directory} is read-only`))
        return true
      })
      remove()
      // What needs no writing goes on; what does says why.
      assert.equal(world.images.find(id)?.id, id)
      assert.deepEqual(await findings(world).then((all) => all.filter((line) => !line.includes('nothing refers'))), [])
      const isReadOnly = (err: unknown) => /is read-only/.test(explain(err)) || assert.fail(explain(err))
      await assert.rejects(world.pull('late:1'), isReadOnly)
      await assert.rejects(world.images.createRootfs({ key: 'c', image: id }, soon()), isReadOnly)
      await assert.rejects(world.images.remove(world.ref('kept:1')), isReadOnly)
      await world.images.close()
      await disk.mend()
      await world.reopen('crash')
      await eventually('nothing half-made is left', async () =>
        ['staging', 'trash'].every((name) => readdirSync(join(disk.directory, name)).length === 0),
      )
      assert.deepEqual(await findings(world), [])
      await world.pull('late:1')
      await world.images.createRootfs({ key: 'c', image: id }, soon())
      await world.images.removeRootfs('c')
      assert.deepEqual(await findings(world), [])
    }))
})
