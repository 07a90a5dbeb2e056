// Archives made again from what unpacking left: bit for bit, or not at all.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { createHost } from '@coracle/host'
import type { DiffId } from '@coracle/oci-spec/digest'
import { sha256 } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { endOfArchive, paxHeader, rawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { replayArchive } from '../src/skeleton/replay.ts'
import { skeletonName } from '../src/unpack/messages.ts'
import { accepted, dir, file, symlink } from './hostile-archives.ts'
import { createUnpackWorld, type UnpackWorld } from './unpack-world.ts'

const processes = createHost().processes

describe('archives made again', needsRoot(), () => {
  let world: UnpackWorld
  before(async () => {
    world = await createUnpackWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const replay = async (path: string, tar: Buffer) => {
    const task = {
      directory: path,
      skeleton: skeletonName(path),
      diffId: sha256(tar) as DiffId,
      cacheDirectory: join(world.directory, 'cache'),
    }
    return Buffer.concat(await Array.fromAsync(replayArchive(processes, task, AbortSignal.timeout(30_000))))
  }
  const same = async (tar: Buffer) => {
    const { path, skeletonDigest } = await world.unpack(tar)
    assert.equal(skeletonDigest, sha256(readFileSync(skeletonName(path))))
    assert.ok((await replay(path, tar)).equals(tar))
  }

  test('odd archives that are accepted come back bit for bit, or are refused', async () => {
    let refused = 0
    for (const [name, parts] of accepted) {
      const tar = rawTar(...parts)
      const { path } = await world.unpack(tar)
      const again = await replay(path, tar).catch((err: unknown) => {
        assert.equal(codeOf(err), 'data_loss', name)
        refused++
      })
      assert.ok(again === undefined || again.equals(tar), name)
    }
    assert.ok(refused < accepted.length / 2, `${refused} of ${accepted.length} were refused`)
  })

  test('contents of all lengths, long names, extensions, links and whiteouts', () =>
    same(
      rawTar(
        paxHeader({ comment: 'global' }, 'g'),
        dir('d'),
        ...[0, 1, 511, 512, 513, 1023, 70_000].map((size, i) => file(`d/f${i}`, 'x'.repeat(size))),
        paxHeader({ path: `d/${'long/'.repeat(50)}name`, mtime: '1700000000.123456789' }),
        file('short', 'content'),
        symlink('link', '/etc/passwd'),
        { name: 'hard', type: '1', link: 'd/f3' },
        file('.wh.gone', 'what a whiteout should not have'),
        file('d/.wh..wh..opq'),
      ),
    ))

  test('a large file, and an end that is no end: padding, zeros, junk, nothing', async () => {
    const large = file('large', 'y'.repeat(3_000_001))
    await same(rawTar(large))
    await same(Buffer.concat([rawTar(large), Buffer.alloc(20 * 512)]))
    await same(Buffer.concat([rawTar(large), Buffer.from('junk after the end')]))
    const [header] = [rawEntry({ name: 'x', body: 'z' })]
    await same(Buffer.concat([header, endOfArchive.subarray(0, 512)]))
    await same(Buffer.from(header))
  })

  test('a path through a link of the layer leads where extraction went, and nowhere outside', () =>
    same(
      rawTar(
        dir('real'),
        symlink('via', '/real'),
        file('via/file', 'inside'),
        symlink('out', '/../../etc'),
        file('out/passwd', 'own'),
      ),
    ))

  test('what was overwritten in the same archive, changed or shortened on disk is told as lost', async () => {
    const twice = rawTar(file('a', 'first'), file('a', 'later'))
    const { path } = await world.unpack(twice)
    await assert.rejects(replay(path, twice), (err) => codeOf(err) === 'data_loss')
    const tar = rawTar(file('a', 'content'))
    const other = await world.unpack(tar)
    writeFileSync(join(other.path, 'a'), 'CONTENT')
    await assert.rejects(replay(other.path, tar), /not those of its archive/)
    writeFileSync(join(other.path, 'a'), 'short')
    await assert.rejects(replay(other.path, tar), /has 5 bytes, the layer's archive had 7/)
  })
})
