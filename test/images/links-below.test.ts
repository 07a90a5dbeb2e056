// An image whose programs are hard links into its lowest layer, written down without their target: pulled, run, checked, moved about.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import type { TarEntry } from '@coracle/testkit/tar'
import { criSuite } from '../cri/suite.ts'
import { MovingWorld } from './moving-world.ts'

const applets = ['sh', 'stat', 'sleep', 'cat', 'true']
const bytes = readFileSync('/bin/busybox')
const directory = (path: string): TarEntry => ({ path, type: 'directory' })
const layers: readonly (readonly TarEntry[])[] = [
  [...['bin', 'etc', 'dev', 'proc', 'sys'].map(directory), { path: 'bin/busybox', body: bytes, mode: 0o755 }],
  [{ path: 'etc/one', body: 'one' }],
  [
    ...applets.map((name): TarEntry => ({ path: `bin/${name}`, type: 'hardlink', link: 'bin/busybox' })),
    { path: 'etc/two', type: 'hardlink', link: 'etc/one' },
  ],
  [{ path: 'etc/three', type: 'hardlink', link: 'etc/two' }],
]
const config = { Env: ['PATH=/bin'], Cmd: ['sleep', '1000'] }

criSuite('hard links into lower layers', (cri) => {
  let world: MovingWorld
  const image = () => `${world.host}/test/linked:1`
  it('sets up', async () => {
    world = await MovingWorld.open()
    world.socket = cri.node.world.socket
    await cri.registry.push('test/linked', '1', { layers, config })
  })

  const runs = async (name: string) => {
    await using pod = await cri.pod()
    const container = await pod.run({ image: { image: name }, command: ['sleep', '1000'] })
    assert.equal(
      await container.sh('stat -c %h /bin/sh /bin/busybox /bin/cat'),
      Array(3)
        .fill(applets.length + 1)
        .join('\n'),
    )
    assert.equal(await container.sh('stat -c %i /bin/sh'), await container.sh('stat -c %i /bin/busybox'))
    assert.equal(await container.sh('stat -c %s /bin/sh'), String(bytes.length))
    assert.equal(await container.sh('cat /etc/one /etc/two /etc/three'), 'oneoneone')
    assert.equal(await container.sh('stat -c "%h %a %u" /etc/three'), '2 644 0')
  }

  it('pulls and runs it; check and df know of nothing odd; a kill changes nothing', async () => {
    await cri.image.pullImage({ image: { image: image() } })
    await runs(image())
    assert.match(await world.coracle('store', 'check', '--deep'), /nothing is wrong/)
    const usage = JSON.parse(await world.coracle('df', '-o', 'json'))
    assert.deepEqual(
      usage.parts.filter(({ kind }: { kind: string }) => kind === 'orphan'),
      [],
    )
    await cri.node.kill9()
    await cri.node.restart()
    await runs(image())
    assert.match(await world.coracle('store', 'check', '--deep'), /nothing is wrong/)
  })

  it('leaves the store bit for bit, and comes back by every way', async () => {
    const id = JSON.parse(await world.coracle('inspecti', image())).status.id as string
    await world.coracle('save', '-q', '-o', world.path('docker.tar'), image())
    await world.coracle('save', '-q', '--format', 'oci-archive', '-o', world.path('oci.tar'), image())
    await world.coracle('push', image(), `${world.host}/test/linked-again:1`)
    await world.skopeo('copy', '--src-tls-verify=false', `docker://${world.host}/test/linked-again:1`, `dir:${world.path('dir')}`)
    // The brand is ours: no image id but the config's digest.
    assert.ok(existsSync(join(world.path('dir'), id.replace('sha256:', ''))))
    for (const from of ['docker.tar', 'oci.tar']) {
      await world.coracle('rmi', id)
      assert.equal(await world.coracle('load', '-q', '-i', world.path(from)), id)
      await runs(id)
      // Once more, with all that it needs here.
      assert.equal(await world.coracle('load', '-q', '-i', world.path(from)), id)
    }
    await world.coracle('rmi', id)
    await world.skopeo('copy', `dir:${world.path('dir')}`, `oci:${world.path('layout')}:v1`)
    await world.coracle('copy', '-q', `oci:${world.path('layout')}:v1`, `store:${world.host}/test/copied:1`)
    await runs(`${world.host}/test/copied:1`)
    assert.match(await world.coracle('store', 'check', '--deep'), /nothing is wrong/)
  })

  it('goes as a whole', async () => {
    for (const { id } of (await cri.image.listImages({})).images) await cri.image.removeImage({ image: { image: id } })
    assert.deepEqual(readdirSync(join(cri.node.world.root, 'images/layers')), [])
    await world[Symbol.asyncDispose]()
  })

  it('an archive of one layer has nothing below: import says so', async () => {
    world = await MovingWorld.open()
    world.socket = cri.node.world.socket
    await using _world = world
    await world.ok('/bin/sh', '-c', `cd ${world.directory} && mkdir t && echo x > t/a && ln t/a t/b && tar -cf all.tar -C t a b`)
    await world.ok('tar', '--delete', '-f', world.path('all.tar'), 'a')
    assert.match(await world.fails('import', world.path('all.tar'), 'imported:1'), /hard link's target "a" is not in the layer/)
  })
})
