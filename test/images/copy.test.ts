// Images between registries, directories and archives, beside skopeo and umoci of Debian: what one writes the other must read.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { needsRoot } from '@coracle/testkit/needs-root'
import { MovingWorld } from './moving-world.ts'

describe('copy', needsRoot(), () => {
  let world: MovingWorld
  before(async () => {
    world = await MovingWorld.open()
  })
  after(() => world[Symbol.asyncDispose]())

  it('registry to oci: and back keeps the digest; skopeo reads both', async () => {
    const from = `docker://${world.images.entry}`
    const digest = await world.coracle('copy', '-q', from, `oci:${world.path('entry')}:v1`)
    assert.equal(digest, await world.digestOf(from))
    assert.equal(digest, await world.digestOf(`oci:${world.path('entry')}:v1`))
    const back = `docker://${world.host}/moved/entry:2`
    assert.equal(await world.coracle('copy', '-q', `oci:${world.path('entry')}:v1`, back), digest)
    assert.equal(await world.digestOf(back), digest)
    await world.skopeo('copy', '--src-tls-verify=false', back, `dir:${world.path('entry-by-skopeo')}`)
  })

  it('umoci unpacks our oci: directory to the tree of the image', async () => {
    await world.coracle('copy', '-q', `docker://${world.images.entry}`, `oci:${world.path('umoci')}:v1`)
    await world.ok('umoci', 'unpack', '--image', `${world.path('umoci')}:v1`, world.path('bundle'))
    assert.match(readFileSync(world.path('bundle/rootfs/etc/passwd'), 'utf8'), /^app:x:1234/m)
    assert.ok(existsSync(world.path('bundle/rootfs/work')))
  })

  it('all of an index, by oci-archive: and dir:, with its digest; without --all the image of a platform', async () => {
    const from = `docker://${world.images.index}`
    const digest = await world.digestOf(from)
    assert.equal(await world.coracle('copy', '-q', '--all', from, `oci-archive:${world.path('index.tar')}:x`), digest)
    assert.equal(
      await world.coracle('copy', '-q', '-a', `oci-archive:${world.path('index.tar')}:x`, `dir:${world.path('index')}`),
      digest,
    )
    const again = `docker://${world.host}/moved/index:1`
    assert.equal(await world.coracle('copy', '-q', '-a', `dir:${world.path('index')}`, again), digest)
    assert.equal(await world.digestOf(again), digest)
    const other = await world.coracle('copy', '-q', '--platform', 'linux/arm64', from, `oci:${world.path('arm')}`)
    assert.notEqual(other, digest)
    assert.match(await world.coracle('inspect', '--remote', `oci:${world.path('arm')}`), /"architecture": "arm64"/)
    const refused = await world.fails('copy', '--platform', 'linux/s390x', from, `oci:${world.path('none')}`)
    assert.match(refused, /no image for platform linux\/s390x.*linux\/arm64/)
  })

  it('docker-archive: both ways with skopeo, the image id kept', async () => {
    const from = `docker://${world.images.entry}`
    const { id } = JSON.parse(await world.coracle('inspect', '--remote', from)) as { id: string }
    await world.coracle('copy', '-q', from, `docker-archive:${world.path('ours.tar')}:example.org/entry:1`)
    assert.match(await world.skopeo('list-tags', `docker-archive:${world.path('ours.tar')}`), /example\.org\/entry:1/)
    await world.skopeo('copy', `docker-archive:${world.path('ours.tar')}`, `dir:${world.path('ours-by-skopeo')}`)
    assert.match(readFileSync(world.path('ours-by-skopeo/manifest.json'), 'utf8'), new RegExp(id))
    await world.skopeo('copy', '--src-tls-verify=false', from, `docker-archive:${world.path('theirs.tar')}:example.org/entry:1`)
    await world.ok('gzip', '-k', world.path('theirs.tar'))
    for (const archive of ['theirs.tar', 'theirs.tar.gz']) {
      const target = `docker://${world.host}/moved/archive-${archive.length}:1`
      await world.coracle('copy', '-q', `docker-archive:${world.path(archive)}:example.org/entry:1`, target)
      assert.equal((JSON.parse(await world.coracle('inspect', '--remote', target)) as { id: string }).id, id)
    }
  })

  it('takes a Docker image with its media types, byte for byte', async () => {
    const digest = await world.coracle('copy', '-q', `docker://${world.images.docker}`, `dir:${world.path('docker')}`)
    assert.equal(digest, await world.digestOf(`docker://${world.images.docker}`))
    await world.skopeo(
      'copy',
      '--preserve-digests',
      '--dest-tls-verify=false',
      `dir:${world.path('docker')}`,
      `docker://${world.host}/moved/docker:1`,
    )
    assert.equal(await world.digestOf(`docker://${world.host}/moved/docker:1`), digest)
  })

  it('a registry takes blobs from its other repository; large ones go in chunks', async () => {
    const from = `docker://${world.images.big}`
    await world.coracle('copy', '-q', from, `docker://${world.host}/moved/mounted:1`)
    await world.coracle('copy', '-q', from, `oci:${world.path('big')}`)
    assert.equal(await world.digestOf(`docker://${world.host}/moved/mounted:1`), await world.digestOf(`oci:${world.path('big')}`))
  })

  it('refuses a blob that is not what its digest says and writes no manifest', async () => {
    await world.coracle('copy', '-q', `docker://${world.images.entry}`, `dir:${world.path('broken')}`)
    const blob = readdirSync(world.path('broken')).find((name) => /^[0-9a-f]{64}$/.test(name)) ?? ''
    const bytes = readFileSync(world.path(`broken/${blob}`))
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    writeFileSync(world.path(`broken/${blob}`), bytes)
    const told = await world.fails('copy', `dir:${world.path('broken')}`, `oci:${world.path('from-broken')}`)
    assert.match(told, new RegExp(`${blob} has the digest`))
    assert.ok(!existsSync(world.path('from-broken/index.json')))
    await world.fails('copy', `dir:${world.path('broken')}`, `oci-archive:${world.path('from-broken.tar')}`)
    assert.ok(!existsSync(world.path('from-broken.tar')))
  })

  it('lists tags, also over several pages', async () => {
    for (let i = 0; i < 5; i++)
      await world.coracle('copy', '-q', `docker://${world.images.bare}`, `docker://${world.host}/moved/tags:t${i}`)
    assert.deepEqual((await world.coracle('list-tags', `${world.host}/moved/tags`)).split('\n').sort(), [
      't0',
      't1',
      't2',
      't3',
      't4',
    ])
    assert.match(await world.fails('list-tags', `${world.host}/moved/absent`), /404/)
  })

  it('names what is wrong with a place', async () => {
    assert.match(await world.fails('copy', 'oci:/nonexistent', `dir:${world.path('x')}`), /\/nonexistent has no oci-layout/)
    assert.match(await world.fails('copy', 'docker-daemon:x', `dir:${world.path('x')}`), /unknown transport/)
    const several = `oci:${world.path('several')}`
    await world.coracle('copy', '-q', `docker://${world.images.bare}`, `${several}:one`)
    await world.coracle('copy', '-q', `docker://${world.images.entry}`, `${several}:two`)
    assert.match(await world.fails('inspect', '--remote', several), /holds 2 images: name one of "one, two"/)
    assert.match(await world.fails('inspect', '--remote', `${several}:three`), /no image of that name/)
  })
})
