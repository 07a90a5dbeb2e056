// Compressed layers and their digests, right and wrong; and archives with bytes changed at random.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { CodedError } from '@coracle/base/errors'
import { sha256 } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { gnuLong, paxHeader, type RawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { createUnpackWorld, type LayerOptions, type UnpackWorld } from './unpack-world.ts'

const file = (name: string, body = 'x'): RawEntry => ({ name, body })
const dir = (name: string): RawEntry => ({ name, type: '5', mode: 0o755 })
const symlink = (name: string, link: string): RawEntry => ({ name, type: '2', link, mode: 0o777 })
const hardlink = (name: string, link: string): RawEntry => ({ name, type: '1', link })

const gunzips = ['fastest', 'zlib', 'stream'] as const

describe('compression and digests', needsRoot(), () => {
  let world: UnpackWorld
  before(async () => {
    world = await createUnpackWorld()
  })
  after(() => world[Symbol.asyncDispose]())

  const refuses = async (tar: Buffer, options: LayerOptions, code = 'invalid_argument') =>
    assert.rejects(world.unpack(tar, options), (err) => err instanceof CodedError && err.code === code)
  const plain = rawTar(file('a', 'hello'), dir('d'), file('d/b', 'x'.repeat(300_000)))
  const tree = { a: 'f644 hello', d: 'd755', 'd/b': 'f644 300000 bytes' }
  const accepts = async (blob: Buffer, tar = plain) => {
    for (const gunzip of gunzips) assert.deepEqual((await world.unpack(tar, { blob, gunzip })).tree, tree)
  }

  test('C-01 a gzip bomb stops at the limit; gzip in gzip is no archive', async () => {
    const bomb = gzipSync(rawTar(file('zeros', Buffer.alloc(50_000_000).toString('latin1'))))
    for (const gunzip of gunzips)
      await refuses(plain, { blob: bomb, gunzip, limits: { maxUnpackedBytes: 10_000_000 } }, 'resource_exhausted')
    await refuses(plain, { blob: gzipSync(gzipSync(plain)) })
  })

  test('C-02 zstd: frames, skippable frames; too large a window and nonsense are refused', async () => {
    const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex')
    const [one, two] = [plain.subarray(0, 1000), plain.subarray(1000)]
    await accepts(zstdCompressSync(plain))
    await accepts(Buffer.concat([skippable, zstdCompressSync(one), skippable, zstdCompressSync(two), skippable]))
    await accepts(
      Buffer.concat(
        Array.from({ length: Math.ceil(plain.length / 500) }, (_, i) => zstdCompressSync(plain.subarray(i * 500, i * 500 + 500))),
      ),
    )
    // Frame header: window descriptor of 2 GiB, no content size.
    await refuses(plain, { blob: Buffer.from('28b52ffd00a8010000', 'hex') })
    // A frame that names a dictionary.
    await refuses(plain, { blob: Buffer.from('28b52ffd2101050029000068656c6c6f', 'hex') })
    await refuses(plain, { blob: zstdCompressSync(plain).subarray(0, 40) })
  })

  test('C-03 gzip: members, padding after them; garbage, wrong checksums and cut data are refused', async () => {
    await accepts(Buffer.concat([gzipSync(plain.subarray(0, 5000)), gzipSync(plain.subarray(5000))]))
    await accepts(Buffer.concat([gzipSync(plain), Buffer.alloc(100_000)]))
    const blob = gzipSync(plain)
    const wrongCrc = Buffer.from(blob)
    wrongCrc[blob.length - 8] = (wrongCrc[blob.length - 8] as number) ^ 1
    for (const gunzip of gunzips) {
      await refuses(plain, { blob: wrongCrc, gunzip })
      await refuses(plain, { blob: Buffer.concat([blob, Buffer.from('garbage')]), gunzip })
      await refuses(plain, { blob: blob.subarray(0, blob.length - 100), gunzip })
    }
  })

  test('C-04 the bytes tell the compression; xz and bzip2 are refused', async () => {
    await accepts(plain)
    await accepts(zstdCompressSync(plain))
    await refuses(plain, { blob: Buffer.from('fd377a585a000004', 'hex') })
    await refuses(plain, { blob: Buffer.from('BZh91AY&SY') })
    await refuses(plain, { blob: Buffer.from('some text') })
    await refuses(plain, { blob: Buffer.alloc(0) }, 'data_loss')
  })

  test('C-05 other bytes of the same size', async () => {
    const blob = gzipSync(plain)
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.includes(sha256(blob))) return false
      const other = Buffer.from(blob)
      other[4] = 1
      response.end(other)
      return true
    })
    for (const gunzip of gunzips) await refuses(plain, { blob, gunzip }, 'data_loss')
    remove()
    await accepts(blob)
  })

  test('C-06 a wrong size', async () => {
    const blob = gzipSync(plain)
    for (const size of [0, 1, blob.length - 1, blob.length + 1]) await refuses(plain, { blob, size }, 'data_loss')
  })

  test('C-07 a wrong diffID', () => refuses(plain, { diffId: sha256('other') }, 'data_loss'))

  test('C-09 sha512', async () => {
    const blob = gzipSync(plain)
    const digest = `sha512:${createHash('sha512').update(blob).digest('hex')}`
    const diffId = `sha512:${createHash('sha512').update(plain).digest('hex')}`
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.endsWith(digest)) return false
      response.end(blob)
      return true
    })
    assert.deepEqual((await world.unpack(plain, { blob, digest, diffId })).tree, tree)
    remove()
  })

  test("mutated archives end in a tree or an error, never in the worker's death", async () => {
    const seed = rawTar(
      paxHeader({ path: 'p/q', 'SCHILY.xattr.user.a': 'b' }),
      file('a'),
      gnuLong('L', 'l'.repeat(200)),
      file('x', 'y'),
      hardlink('h', 'a'),
      symlink('s', 'a'),
      dir('d'),
    )
    let random = 12345
    const next = (n: number) => {
      random = (random * 1103515245 + 12345) & 0x7fffffff
      return random % n
    }
    for (let round = 0; round < 300; round++) {
      const mutated = Buffer.from(seed)
      for (let i = next(4); i >= 0; i--) mutated[next(mutated.length)] = next(256)
      fixChecksums(mutated)
      await world.unpack(mutated, { blob: mutated }).catch((err) => {
        assert.ok(err instanceof CodedError && err.code !== 'unavailable' && err.code !== 'internal', String(err))
      })
    }
  })
})

// So that mutations get past the first check.
function fixChecksums(tar: Buffer): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    if (tar.toString('latin1', at + 257, at + 262) !== 'ustar') continue
    tar.fill(0x20, at + 148, at + 156)
    const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0)
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
  }
}
