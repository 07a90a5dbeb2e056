// Faults of other runtimes at unpacking (hazards by the id of each), tried on ours.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { CodedError, codeOf, explain } from '@coracle/base/errors'
import type { LayerSource } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { endOfArchive, paxHeader, type RawEntry, rawEntry, rawTar } from '@coracle/testkit/tar-builder'
import { dir, file, hardlink, symlink } from './hostile-archives.ts'
import { createImagesWorld, type ImagesWorld, soon } from './images-world.ts'
import { createUnpackWorld, type UnpackWorld } from './unpack-world.ts'

describe('hazards of layer extraction', needsRoot(), () => {
  let world: UnpackWorld
  /** A directory outside of every layer, with what must not change. */
  let canary: string
  before(async () => {
    world = await createUnpackWorld()
    canary = join(world.directory, 'canary')
    mkdirSync(canary, { mode: 0o700 })
    writeFileSync(join(canary, 'secret'), 'alive', { mode: 0o600 })
  })
  after(() => world[Symbol.asyncDispose]())

  const canaryState = () => {
    const { mode, uid, nlink, mtimeMs } = lstatSync(join(canary, 'secret'))
    return JSON.stringify([readdirSync(canary), readFileSync(join(canary, 'secret'), 'utf8'), mode, uid, nlink, mtimeMs])
  }
  const unharmed = async (parts: readonly (RawEntry | Buffer)[]) => {
    const before = canaryState()
    await world.unpack(rawTar(...parts)).catch((err) => assert.ok(err instanceof CodedError, String(err)))
    assert.equal(canaryState(), before)
  }
  /** The canary as an archive can name it: absolutely, relatively, through the process's own root. */
  const waysOut = () => [canary, `../../../../../../../..${canary}`, `/proc/self/root${canary}`, `/proc/1/root${canary}`]

  test('CVE-2021-32760 modes, owners, times and attributes never go through a link', async () => {
    for (const way of waysOut()) {
      const secret = `${way}/secret`
      await unharmed([
        symlink('l', secret),
        { ...hardlink('h', 'l'), mode: 0o4777, uid: 7 },
        dir('l', { mode: 0o777, uid: 7 }),
        symlink('l', secret),
        paxHeader({ mtime: '5', 'SCHILY.xattr.user.a': 'b' }),
        { ...symlink('l', secret), mode: 0o777, uid: 7 },
        symlink('d', way),
        file('d/secret', 'dead', { mode: 0o777, uid: 7 }),
      ])
    }
  })

  test('CVE-2025-47290 layers unpacked at once with links that change: fifty times', async () => {
    const before = canaryState()
    const swapping = (i: number) =>
      rawTar(
        ...Array.from({ length: 40 }, (_, k) => [
          dir('swap'),
          file('swap/secret', 'dead'),
          symlink('swap', (i + k) % 2 === 0 ? canary : `../layer${i + 1}`),
          file('swap/secret', 'dead'),
        ]).flat(),
      )
    for (let round = 0; round < 25; round++) await Promise.all([world.unpack(swapping(round)), world.unpack(swapping(round + 1))])
    assert.equal(canaryState(), before)
  })

  test('CVE-2026-17106 a hard link is looked up inside, and the link itself is linked', async () => {
    for (const way of waysOut()) {
      await unharmed([hardlink('h', `${way}/secret`), file('h', 'dead')])
      await unharmed([symlink('d', way), hardlink('h', 'd/secret'), file('h', 'dead')])
      await unharmed([symlink('s', `${way}/secret`), hardlink('h', 's'), file('h', 'dead', { mode: 0o777 })])
    }
  })

  test('CVE-2025-58183 the map of a sparse file is not read, however long it says it is', async () => {
    const map = `${10 ** 7}\n${'0\n1\n'.repeat(1000)}`
    for (const parts of [
      [paxHeader({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '1' }), file('a', map)],
      [paxHeader({ 'GNU.sparse.map': '0,1,'.repeat(10_000) }), file('a')],
      [paxHeader({ 'GNU.sparse.numblocks': String(10 ** 7) }), file('a')],
      [{ name: 'a', type: 'S', size: 512, body: Buffer.alloc(512, 0x37) }],
    ])
      await assert.rejects(world.unpack(rawTar(...parts)), (err) => codeOf(err) === 'invalid_argument')
  })

  test('CVE-2014-6407 CVE-2014-9358 archives do not leave their directory by name or link', async () => {
    for (const way of waysOut()) {
      await unharmed([file(`${way}/secret`, 'dead')])
      await unharmed([symlink('a', '/'), symlink('a/b', way), file('a/b/secret', 'dead'), file('b/secret', 'dead')])
    }
  })

  test('CVE-2026-23745 CVE-2021-32804 CVE-2025-48387 CVE-2018-20835 what led out of the extractors of npm', async () => {
    const before = canaryState()
    for (const way of waysOut()) {
      await unharmed([symlink('x', way), dir('x'), symlink('x/..', way), file('x/secret', 'dead')])
      await unharmed([file(`/${way}/secret`, 'dead'), file(`//..//${way}/secret`, 'dead')])
      await unharmed([dir('a'), symlink('a/b', '..'), symlink('a/b/c', way), file('c/secret', 'dead'), dir('c', { mode: 0o777 })])
      await unharmed([symlink('\u00e9', way), file('e\u0301/secret', 'dead'), file('\u00c9/secret', 'dead')])
    }
    // A negative size in base-256 once made a reader go round for ever.
    const negative = Buffer.alloc(12, 0xff)
    await unharmed([file('a', 'x', { patch: { 124: negative } }), file('b')])
    assert.equal(canaryState(), before)
  })

  test('T-40 an archive of nothing but padding ends at the limit of the layer', async () => {
    const tar = Buffer.concat([rawEntry(file('a')), endOfArchive, Buffer.alloc(40_000_000)])
    await assert.rejects(
      world.unpack(tar, { limits: { maxUnpackedBytes: 20_000_000 } }),
      (err) => codeOf(err) === 'resource_exhausted',
    )
  })

  test('T-46 capabilities of version 3 are kept with the user namespace they are for', async () => {
    const value = Buffer.from('010000030004000000000000000000000000000000000000', 'hex')
    value.writeUInt32LE(100_000, 20)
    const { tree } = await world.unpack(
      rawTar(paxHeader({ 'SCHILY.xattr.security.capability': value }), file('ping', 'x', { mode: 0o755 })),
    )
    assert.equal(tree['ping'], `f755 x security.capability=${value.toString('latin1')}`)
  })

  test('C-03 endless empty blocks and a long gzip header yield nothing', async () => {
    const blob = gzipSync(rawTar(file('a')))
    // Flag FNAME, and a name of four megabytes before the data.
    const header = Buffer.from(blob.subarray(0, 10))
    header[3] = 8
    const named = Buffer.concat([header, Buffer.alloc(4_000_000, 0x61), Buffer.alloc(1), blob.subarray(10)])
    assert.deepEqual((await world.unpack(rawTar(file('a')), { blob: named })).tree, { a: 'f644 x' })
    // Stored blocks of length zero, none of them the last.
    const empty = Buffer.concat(Array.from({ length: 200_000 }, () => Buffer.from('000000ffff', 'hex')))
    const endless = Buffer.concat([blob.subarray(0, 10), empty])
    await assert.rejects(world.unpack(rawTar(file('a')), { blob: endless }), (err) => codeOf(err) === 'invalid_argument')
  })
})

describe('hazards of images', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())
  const layerOf = (name: string): LayerSource => ({ tar: rawTar({ name, body: randomBytes(60_000) }) })

  test('CVE-2021-20291 twenty pulls of a layer that is broken in the middle end, and lock nobody out', async () => {
    const good = layerOf('good')
    const whole = gzipSync(good.tar)
    const broken = Buffer.from(whole)
    broken[whole.length >> 1] = (whole[whole.length >> 1] as number) ^ 0xff
    for (let i = 0; i < 20; i++) world.registry.addImage(`broken${i}`, '1', [{ ...good, blob: broken }])
    world.registry.addImage('valid', '1', [{ ...good, blob: whole }])
    const pulls = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => world.pull(`broken${i}:1`, { signal: AbortSignal.timeout(120_000) })),
    )
    assert.ok(
      pulls.every(
        ({ status, ...rest }) => status === 'rejected' && 'reason' in rest && codeOf(rest.reason) !== 'deadline_exceeded',
      ),
    )
    assert.ok((await world.pull('valid:1')).tags.length > 0)
  })

  test('C-10 a thousand layers are refused', async () => {
    const same = layerOf('same')
    world.registry.addImage('deep', '1', Array(1000).fill(same))
    await assert.rejects(world.pull('deep:1'), (err) => codeOf(err) === 'invalid_argument' && /256/.test(explain(err)))
  })

  test('M-02 of several variants the best comes first', async () => {
    const { manifest } = world.registry.addImage('variant', 'inner', [layerOf('v')])
    const size = (await (await fetch(`${world.registry.url}/v2/variant/manifests/inner`)).arrayBuffer()).byteLength
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    const entry = (digest: string, variant?: string) => ({
      ...{ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size },
      platform: { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) },
    })
    const other = `sha256:${'0'.repeat(64)}`
    const manifests = [entry(other, 'v99'), entry(manifest), entry(other, 'v98')]
    world.registry.addManifest('variant', '1', { mediaType, body: JSON.stringify({ schemaVersion: 2, mediaType, manifests }) })
    assert.ok((await world.pull('variant:1')).digests.length > 0)
  })

  test('M-04 attestations in an index are passed over', async () => {
    const { manifest, config } = world.registry.addImage('attested', 'inner', [layerOf('a')])
    const size = (await (await fetch(`${world.registry.url}/v2/attested/manifests/inner`)).arrayBuffer()).byteLength
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    const entry = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: manifest, size }
    const unknown = { ...entry, platform: { os: 'unknown', architecture: 'unknown' } }
    const attestation = { ...unknown, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }
    const manifests = [attestation, { ...entry, platform: { os: 'linux', architecture } }]
    world.registry.addManifest('attested', '1', { mediaType, body: JSON.stringify({ schemaVersion: 2, mediaType, manifests }) })
    assert.equal((await world.pull('attested:1')).id, config)
  })

  test('the root of a store is closed to others, whatever is unpacked below', async () => {
    world.registry.addImage('suid', '1', [{ tar: rawTar(file('su', 'x', { mode: 0o4755 })) }])
    const image = await world.pull('suid:1')
    for (const name of ['layers', 'trees', 'staging', 'containers', 'trash'])
      assert.equal(statSync(join(world.directory, 'root', name)).mode & 0o777, 0o700, name)
    const { path } = await world.images.createRootfs({ key: 'c', image: image.id }, soon())
    chmodSync(path, 0o777)
    assert.ok(existsSync(path))
    await world.images.removeRootfs('c')
  })
})
