// Images into the store and out of it, and whether they are still the same: beside skopeo, umoci and a registry.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect } from '@coracle/cri-api'
import { Moving } from '@coracle/cri-api/moving'
import { startContainerdNode } from '@coracle/testkit/containerd-node'
import { eventually } from '@coracle/testkit/eventually'
import { needsRoot } from '@coracle/testkit/needs-root'
import { startNode, type TestNode } from '@coracle/testkit/node'
import { run } from '@coracle/testkit/program'
import { registryAt } from '@coracle/testkit/registry'
import { coraclePath, MovingWorld } from './moving-world.ts'

describe('moving images in and out of the store', needsRoot(), () => {
  let world: MovingWorld
  let node: TestNode
  before(async () => {
    world = await MovingWorld.open()
    node = await startNode()
    world.socket = node.world.socket
    for (const image of [world.images.entry, world.images.index, world.images.docker]) await world.coracle('pull', '-q', image)
  })
  after(async () => {
    await node[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
  })

  const idOf = async (image: string) => JSON.parse(await world.coracle('inspecti', image)).status.id as string
  const idAt = async (location: string) => JSON.parse(await world.coracle('inspect', '--remote', location)).id as string
  const manifestOf = (image: string) => world.digestOf(`docker://${image}`)

  it('pushes back to where it came from with the digest it was pulled by, and sends nothing', async () => {
    const again = `${world.host}/moved/again:1`
    const told = await world.coracle('push', world.images.entry, again)
    assert.equal(told, await manifestOf(world.images.entry))
    assert.equal(await manifestOf(again), told)
  })

  it('saves as docker-archive what skopeo and docker load read; the id is that of the image', async () => {
    await world.coracle('save', '-q', '-o', world.path('two.tar'), world.images.entry, world.images.index)
    const list = JSON.parse(execFileSync('tar', ['-xOf', world.path('two.tar'), 'manifest.json'], { encoding: 'utf8' }))
    assert.deepEqual(
      list.map(({ RepoTags }: { RepoTags: string[] }) => RepoTags[0]),
      [world.images.entry, world.images.index],
    )
    await world.skopeo('copy', `docker-archive:${world.path('two.tar')}:${world.images.entry}`, `dir:${world.path('entry-dir')}`)
    assert.match(readFileSync(world.path('entry-dir/manifest.json'), 'utf8'), new RegExp(await idOf(world.images.entry)))
    await world.skopeo('copy', `docker-archive:${world.path('two.tar')}:${world.images.index}`, `dir:${world.path('index-dir')}`)
    assert.match(readFileSync(world.path('index-dir/manifest.json'), 'utf8'), new RegExp(await idOf(world.images.index)))
  })

  it('saves as OCI layouts that skopeo copies and umoci unpacks to the tree of the image', async () => {
    await world.coracle('save', '-q', '--format', 'oci-archive', '-o', world.path('oci.tar'), world.images.entry)
    await world.skopeo('copy', `oci-archive:${world.path('oci.tar')}`, `dir:${world.path('oci-by-skopeo')}`)
    await world.coracle('copy', '-q', world.images.entry, `oci:${world.path('layout')}:v1`)
    assert.equal(await idAt(`oci:${world.path('layout')}:v1`), await idOf(world.images.entry))
    await world.ok('umoci', 'unpack', '--image', `${world.path('layout')}:v1`, world.path('bundle'))
    await world.coracle('copy', '-q', `docker://${world.images.entry}`, `oci:${world.path('original')}:v1`)
    await world.ok('umoci', 'unpack', '--image', `${world.path('original')}:v1`, world.path('original-bundle'))
    await world.ok('diff', '-r', '--no-dereference', world.path('bundle/rootfs'), world.path('original-bundle/rootfs'))
    // One that came with Docker's media types, which others do not find in a layout.
    await world.coracle('save', '-q', '--format', 'oci-archive', '-o', world.path('docker-oci.tar'), world.images.docker)
    await world.skopeo('copy', `oci-archive:${world.path('docker-oci.tar')}`, `dir:${world.path('docker-by-skopeo')}`)
    assert.match(readFileSync(world.path('docker-by-skopeo/manifest.json'), 'utf8'), new RegExp(await idOf(world.images.docker)))
  })

  it('CVE-2026-50195 loads what skopeo writes, in both forms and compressed, without taking names over unasked', async () => {
    const id = await idOf(world.images.entry)
    const from = ['copy', '--src-tls-verify=false', `docker://${world.images.entry}`]
    await world.skopeo(...from, `docker-archive:${world.path('by-skopeo.tar')}:evil.example/pause:latest`)
    await world.skopeo(...from, `oci-archive:${world.path('by-skopeo-oci.tar')}:evil.example/oci:latest`)
    await world.ok('gzip', '-k', world.path('by-skopeo.tar'))
    await world.coracle('rmi', world.images.entry)
    for (const file of ['by-skopeo.tar', 'by-skopeo.tar.gz', 'by-skopeo-oci.tar']) {
      assert.equal(await world.coracle('load', '-q', '-i', world.path(file)), id)
      assert.doesNotMatch(await world.coracle('images'), /evil\.example/)
      await world.coracle('rmi', id)
    }
    await world.coracle('load', '-q', '-a', '-i', world.path('by-skopeo.tar'))
    assert.equal(await idOf('evil.example/pause:latest'), id)
    await world.coracle('untag', 'evil.example/pause:latest')
    await world.coracle('tag', id, world.images.entry)
    assert.equal(await idOf(world.images.entry), id)
  })

  it('pushes to a registry that has none of it: another manifest, the same image, which is pulled again', async () => {
    await using other = await MovingWorld.openAlone(world)
    const target = `${other.host}/pushed/entry:1`
    for (const compression of ['gzip', 'zstd', 'none']) {
      const digest = await world.coracle('push', '-q', '--compression', compression, world.images.entry, target)
      assert.equal(digest, await other.digestOf(`docker://${target}`))
      assert.equal(await idAt(`docker://${target}`), await idOf(world.images.entry))
      await world.skopeo('copy', '--src-tls-verify=false', `docker://${target}`, `dir:${world.path(`pushed-${compression}`)}`)
    }
    await world.fails('push', '--preserve-digests', world.images.index, `${other.host}/pushed/index:1`)
    // Uncompressed layers come back bit for bit, and with them the manifest.
    const plain = await world.coracle('push', '-q', '--preserve-digests', world.images.docker, `${other.host}/pushed/docker:1`)
    assert.equal(plain, await manifestOf(world.images.docker))
    const id = await idOf(world.images.entry)
    await world.coracle('rmi', id)
    await world.coracle('pull', '-q', target)
    assert.equal(await idOf(target), id)
    await world.coracle('tag', target, world.images.entry)
    await world.coracle('untag', target)
  })

  it('containerd pulls what was pushed, with the same image id', async () => {
    const target = `${world.host}/moved/for-containerd:1`
    await world.coracle('push', '-q', world.images.entry, target)
    await using registry = registryAt(world.host)
    await using containerd = await startContainerdNode(registry)
    const { imageRef } = await containerd.client.image.pullImage({ image: { image: target } })
    const { image } = await containerd.client.image.imageStatus({ image: { image: imageRef } })
    assert.equal(image?.id, await idOf(world.images.entry))
  })

  it('with keep_blobs the manifest leaves as it came, after a restart too, and the blobs go with the image', async () => {
    await using keeping = await startNode({ config: '[images]\nkeep_blobs = true\n' })
    await using other = await MovingWorld.openAlone(world)
    const ours = ['-r', `unix://${keeping.world.socket}`]
    await world.ok(coraclePath, ...ours, 'pull', '-q', world.images.entry)
    await keeping.restart()
    const target = `${other.host}/kept/entry:1`
    const digest = await world.ok(coraclePath, ...ours, 'push', '-q', '--preserve-digests', world.images.entry, target)
    assert.equal(digest, await manifestOf(world.images.entry))
    assert.equal(await other.digestOf(`docker://${target}`), digest)
    const blobs = join(keeping.world.root, 'images/blobs')
    assert.ok(readdirSync(blobs).length > 0)
    await world.ok(coraclePath, ...ours, 'rmi', world.images.entry)
    await eventually('the blobs are gone', async () => readdirSync(blobs).length === 0, { timeoutMs: 20_000 })
    assert.deepEqual(readdirSync(join(keeping.world.root, 'images/skeletons')), [])
  })

  it('loads what podman and old Docker write: equal layers as links', async () => {
    const root = world.path('old')
    mkdirSync(join(root, 'a'), { recursive: true })
    mkdirSync(join(root, 'b'))
    await world.ok('tar', '-C', '/bin', '-cf', join(root, 'a/layer.tar'), 'busybox')
    symlinkSync('../a/layer.tar', join(root, 'b/layer.tar'))
    const diffId = `sha256:${createHash('sha256')
      .update(readFileSync(join(root, 'a/layer.tar')))
      .digest('hex')}`
    const config = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [diffId, diffId] },
    }
    writeFileSync(join(root, 'c.json'), JSON.stringify(config))
    const list = [{ Config: 'c.json', RepoTags: ['old/docker:1'], Layers: ['a/layer.tar', 'b/layer.tar'] }]
    writeFileSync(join(root, 'manifest.json'), JSON.stringify(list))
    await world.ok('tar', '-C', root, '-cf', world.path('old.tar'), 'a', 'b', 'c.json', 'manifest.json')
    const id = `sha256:${createHash('sha256').update(JSON.stringify(config)).digest('hex')}`
    assert.equal(await world.coracle('load', '-q', '-a', '-i', world.path('old.tar')), id)
    assert.equal(await idOf('docker.io/old/docker:1'), id)
    await world.coracle('save', '-q', '-o', world.path('old-again.tar'), 'old/docker:1')
    await world.skopeo('copy', `docker-archive:${world.path('old-again.tar')}`, `dir:${world.path('old-dir')}`)
    assert.match(readFileSync(world.path('old-dir/manifest.json'), 'utf8'), new RegExp(id))
  })

  it('of several images in an archive those are there, and told, that came before a broken one', async () => {
    const root = world.path('half')
    mkdirSync(root)
    await world.coracle('save', '-q', '-o', world.path('half.tar'), world.images.entry, world.images.docker)
    await world.ok('tar', '-C', root, '-xf', world.path('half.tar'))
    const list = JSON.parse(readFileSync(join(root, 'manifest.json'), 'utf8'))
    const layer = list[1].Layers.find((name: string) => !list[0].Layers.includes(name))
    writeFileSync(join(root, layer), 'no layer')
    await world.ok('tar', '-C', root, '-cf', world.path('half.tar'), '.')
    const id = await idOf(world.images.entry)
    for (const image of [world.images.entry, world.images.docker]) await world.coracle('rmi', image)
    const { exitCode, stdout } = await run([
      coraclePath,
      '-r',
      `unix://${node.world.socket}`,
      'load',
      '-q',
      '-i',
      world.path('half.tar'),
    ])
    assert.deepEqual([exitCode, stdout.trim()], [1, id])
    for (const image of [world.images.entry, world.images.docker]) await world.coracle('pull', '-q', image)
  })

  it('imports a root file system, and its history tells so', async () => {
    mkdirSync(world.path('rootfs/etc'), { recursive: true })
    mkdirSync(world.path('rootfs/bin'))
    cpSync('/bin/busybox', world.path('rootfs/bin/busybox'))
    writeFileSync(world.path('rootfs/etc/motd'), 'imported')
    await world.ok('tar', '-C', world.path('rootfs'), '-czf', world.path('rootfs.tar.gz'), '.')
    const words = ['--cmd', '/bin/busybox', '--cmd', 'true', '-e', 'A=b=c', '-m', 'by test']
    const id = await world.coracle('import', ...words, world.path('rootfs.tar.gz'), 'local/imported:1')
    assert.equal(await idOf('local/imported:1'), id)
    assert.match(await world.coracle('history', 'local/imported:1'), /coracle import .* by test/)
    await world.coracle('copy', '-q', 'local/imported:1', `oci:${world.path('imported')}:1`)
    await world.ok('umoci', 'unpack', '--image', `${world.path('imported')}:1`, world.path('imported-bundle'))
    assert.equal(readFileSync(world.path('imported-bundle/rootfs/etc/motd'), 'utf8'), 'imported')
    assert.match(await world.coracle('history', `oci:${world.path('imported')}:1`), /coracle import .* by test/)
  })

  it('refuses what is not what it says, and keeps nothing of it', async () => {
    await world.coracle('copy', '-q', `docker://${world.images.big}`, `dir:${world.path('big')}`)
    const manifest = JSON.parse(readFileSync(world.path('big/manifest.json'), 'utf8'))
    const blob = manifest.layers[1].digest.slice(7) as string
    const bytes = readFileSync(world.path(`big/${blob}`))
    bytes[100] = (bytes[100] ?? 0) ^ 1
    writeFileSync(world.path(`big/${blob}`), bytes)
    assert.match(await world.fails('copy', `dir:${world.path('big')}`, 'store:local/big:1'), new RegExp(`${blob}`))
    await world.fails('inspecti', 'local/big:1')
    // The daemon itself does not believe a client that lies about a digest.
    await using client = connect(node.world.socket)
    const moving = client.service(Moving)
    const opened = moving.openImport({})[Symbol.asyncIterator]()
    const { importId } = (await opened.next()).value ?? { importId: '' }
    const send = async (digest: string, data: Buffer) => moving.writeBlob({ importId, digest, offset: 0n, data })
    for (const { digest } of manifest.layers) await send(digest, readFileSync(world.path(`big/${digest.slice(7)}`)))
    const config = readFileSync(world.path(`big/${manifest.config.digest.slice(7)}`))
    const parts = {
      importId,
      manifest: readFileSync(world.path('big/manifest.json')),
      config,
      names: ['local/big:1'],
      transport: 'dir',
    }
    await assert.rejects(moving.finishImport(parts, { timeoutMs: 60_000 }), /digest|broken|checksum/)
    await assert.rejects(send(manifest.layers[0].digest, Buffer.from('more')), /stands at/)
    await assert.rejects(moving.finishImport({ ...parts, config: Buffer.from('{}') }), /config has the digest/)
    await opened.return?.()
    await world.fails('inspecti', 'local/big:1')
    const staging = join(node.world.root, 'images/staging')
    for (let i = 0; readdirSync(staging).length > 0 && i < 100; i++) await new Promise((resolve) => setTimeout(resolve, 100))
    assert.deepEqual(readdirSync(staging), [])
  })

  it('hostile archives: twice the same name, a path out of it, a bad length, an index that is no index', async () => {
    const make = (name: string, files: Record<string, string>, ...more: string[]) => {
      mkdirSync(world.path(name), { recursive: true })
      for (const [path, text] of Object.entries(files)) writeFileSync(join(world.path(name), path), text)
      execFileSync('tar', ['-C', world.path(name), '-cf', world.path(`${name}.tar`), ...more, '.'])
      return world.path(`${name}.tar`)
    }
    const outside = JSON.stringify([{ Config: '../../etc/passwd', RepoTags: [], Layers: [] }])
    assert.match(await world.fails('load', '-i', make('outside', { 'manifest.json': outside })), /leaves the root/)
    const absent = JSON.stringify([{ Config: 'no.json', RepoTags: null, Layers: [] }])
    assert.match(await world.fails('load', '-i', make('absent', { 'manifest.json': absent })), /has no no\.json/)
    const odd = { 'oci-layout': '{"imageLayoutVersion":"1.0.0"}', 'index.json': '{"manifests":{}}' }
    assert.match(await world.fails('load', '-i', make('odd', odd)), /must be a list/)
    execFileSync('tar', ['-C', world.path('odd'), '-rf', world.path('odd.tar'), './index.json'])
    assert.match(await world.fails('load', '-i', world.path('odd.tar')), /index\.json" twice/)
    writeFileSync(world.path('short.tar'), readFileSync(world.path('two.tar')).subarray(0, 100_000))
    assert.match(await world.fails('load', '-i', world.path('short.tar')), /ends in the middle/)
    writeFileSync(world.path('text.tar'), 'x'.repeat(2000))
    assert.match(await world.fails('load', '-i', world.path('text.tar')), /checksum/)
  })

  it('a layer whose files were changed does not leave the store as what it was', async () => {
    const layers = join(node.world.root, 'images/layers')
    const victim = readdirSync(layers).find((name) => existsSync(join(layers, name, 'etc/group'))) ?? ''
    const path = join(layers, victim, 'etc/group')
    const before = readFileSync(path)
    writeFileSync(path, before.toString().replace('extra', 'EXTRA'))
    try {
      assert.match(await world.fails('save', '-o', world.path('changed.tar'), world.images.entry), /not those of its archive/)
      assert.ok(!existsSync(world.path('changed.tar')))
    } finally {
      writeFileSync(path, before)
    }
  })
})
