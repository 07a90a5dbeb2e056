// Hostile and odd archives against the real kernel: each test is named by the hazard it answers.
import assert from 'node:assert/strict'
import { existsSync, lstatSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CodedError } from '@coracle/base/errors'
import { needsRoot } from '@coracle/testkit/needs-root'
import { endOfArchive, paxHeader, rawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { accepted, dir, file, refused, symlink } from './hostile-archives.ts'
import { createUnpackWorld, type LayerOptions, type UnpackWorld } from './unpack-world.ts'

describe('extraction', needsRoot(), () => {
  let world: UnpackWorld
  before(async () => {
    world = await createUnpackWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const isRefused = async (tar: Buffer, options?: LayerOptions, code = 'invalid_argument') =>
    assert.rejects(world.unpack(tar, options), (err) => err instanceof CodedError && err.code === code)

  for (const [name, parts, tree] of accepted) {
    test(name, async () => assert.deepEqual({ ...(await world.unpack(rawTar(...parts))).tree }, tree))
  }
  for (const [name, parts] of refused) test(`refuses ${name}`, () => isRefused(rawTar(...parts)))

  test('T-03 the root takes metadata but no write permission for others', async () => {
    const { path, tree } = await world.unpack(rawTar(dir('./', { mode: 0o777, uid: 3, mtime: 1000 }), file('a')))
    assert.deepEqual(tree, { a: 'f644 x' })
    const stat = statSync(path)
    assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.mtimeMs], [0o755, 3, 1_000_000])
  })

  test('T-07 a path of 4095 bytes', async () => {
    const name = `${'d/'.repeat(2000)}${'f'.repeat(95)}`
    await world.unpack(rawTar(paxHeader({ path: name }), file('x')))
  })

  test('T-12 a hostile link leads to nothing outside', async () => {
    const canary = join(world.directory, 'canary')
    writeFileSync(canary, 'alive')
    await world.unpack(
      rawTar(symlink('l', `/../../..${world.directory}`), file('l/canary', 'dead'), symlink('m', '/proc/1/root'), file('m/evil')),
    )
    assert.equal(readFileSync(canary, 'utf8'), 'alive')
    assert.equal(existsSync('/evil'), false)
  })

  test('T-22 ten thousand entries of one name', async () => {
    const { tree } = await world.unpack(rawTar(...Array.from({ length: 10_000 }, (_, i) => file('same', String(i)))))
    assert.deepEqual(tree, { same: 'f644 9999' })
  })

  test('T-23 layers unpacked at once do not meet', async () => {
    const hostile = rawTar(
      ...Array.from({ length: 50 }, (_, i) => [
        symlink('d', `/../layer${i}`),
        file('d/x'),
        dir('d'),
        file('d/y', String(i)),
      ]).flat(),
    )
    const all = await Promise.all(Array.from({ length: 8 }, () => world.unpack(hostile)))
    for (const { tree } of all) assert.deepEqual(tree, all[0]?.tree)
  })

  test('T-24 and T-38 times are kept, of directories too', async () => {
    const { path } = await world.unpack(
      rawTar(dir('d', { mtime: 1234 }), paxHeader({ mtime: '99.5' }), file('d/f'), paxHeader({ mtime: '-5.25' }), file('d/g')),
    )
    assert.equal(lstatSync(join(path, 'd')).mtimeMs, 1_234_000)
    assert.equal(lstatSync(join(path, 'd/f')).mtimeMs, 99_500)
    assert.equal(lstatSync(join(path, 'd/g')).mtimeMs, -5250)
    await world.unpack(rawTar(paxHeader({ mtime: String(2 ** 40) }), file('late')))
  })

  test('T-34 and T-35 sizes: PAX wins, sloppy octal and base-256 are read', async () => {
    const big = Buffer.alloc(12)
    big[0] = 0x80
    big[11] = 1
    const { tree } = await world.unpack(
      rawTar(
        paxHeader({ size: '3' }),
        rawEntry({ name: 'a', size: 0, body: 'abc' }),
        file('b', 'x', { patch: { 124: ' 1 \0        ' } }),
        file('c', 'x', { patch: { 124: big } }),
      ),
    )
    assert.deepEqual(tree, { a: 'f644 abc', b: 'f644 x', c: 'f644 x' })
  })

  test('T-39 v7 headers', async () => {
    const { tree } = await world.unpack(
      rawTar(file('a', 'x', { magic: '\0\0\0\0\0\0\0\0', prefix: 'ignored' }), file('b', 'y', { prefix: 'p' })),
    )
    assert.deepEqual(tree, { a: 'f644 x', p: 'd755', 'p/b': 'f644 y' })
  })

  test('T-40 ends: none, one block, garbage and padding after them', async () => {
    const entry = rawEntry(file('a'))
    for (const tail of [
      Buffer.alloc(0),
      Buffer.alloc(512),
      Buffer.concat([endOfArchive, Buffer.from('garbage')]),
      Buffer.alloc(5_000_000),
    ])
      assert.deepEqual((await world.unpack(Buffer.concat([entry, tail]))).tree, { a: 'f644 x' })
    await isRefused(Buffer.concat([entry, Buffer.alloc(512), entry]))
  })

  test('T-41 cut short in header, content, padding', async () => {
    const entry = rawEntry(file('a', 'x'.repeat(600)))
    for (const length of [100, 511, 513, 1000, 1111, 1200]) await isRefused(entry.subarray(0, length))
  })

  test('T-46 a valid capability is set after the owner', async () => {
    const value = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    const { tree } = await world.unpack(
      rawTar(paxHeader({ 'SCHILY.xattr.security.capability': value }), file('ping', 'x', { mode: 0o755, uid: 1 })),
    )
    assert.equal(tree['ping'], `f755 1:0 x security.capability=${value.toString('latin1')}`)
  })

  test('T-51 and T-52 limits of entries and bytes', async () => {
    const many = rawTar(...Array.from({ length: 101 }, (_, i) => file(`f${i}`, '')))
    await isRefused(many, { limits: { maxEntries: 100 } }, 'resource_exhausted')
    const zeros = rawTar(file('zeros', Buffer.alloc(30_000_000).toString('latin1')))
    await isRefused(zeros, { limits: { maxUnpackedBytes: 20_000_000 } }, 'resource_exhausted')
    await isRefused(zeros, { limits: { reserveBytes: Number.MAX_SAFE_INTEGER } }, 'resource_exhausted')
  })

  test('warnings tell what was left out, and how much was used', async () => {
    const layer = await world.unpack(
      rawTar(paxHeader({ 'SCHILY.xattr.trusted.overlay.opaque': 'y' }), dir('a'), file('a/b', 'x'.repeat(5000)), file('i/c')),
    )
    assert.match(layer.warnings.join(), /trusted\.overlay\.opaque/)
    assert.deepEqual(layer.impliedDirectories, ['i'])
    assert.equal(layer.usedBytes, 4096 * (1 + 1 + 2 + 1 + 1))
    assert.equal(layer.inodes, 5)
  })
})

describe('large layers', needsRoot(), () => {
  test('T-51 more links than the file system allows are refused; a hundred thousand files are not', async () => {
    await using world = await createUnpackWorld()
    const links = rawTar(file('one'), ...Array.from({ length: 66_000 }, (_, i) => ({ name: `l${i}`, type: '1', link: 'one' })))
    await assert.rejects(world.unpack(links, { limits: { maxEntries: 1_000_000 } }), /EMLINK|links/)
    const files = rawTar(...Array.from({ length: 100_000 }, (_, i) => file(`d${i % 100}/f${i}`, '')))
    assert.equal((await world.unpack(files, { limits: { maxEntries: 1_000_000 } })).inodes, 100_101)
  })
})
