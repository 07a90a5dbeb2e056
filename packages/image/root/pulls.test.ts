// Pulls that meet, end early, or fail: nothing half-made is seen, nothing is left.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codeOf, explain } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import { createHost } from '@coracle/host'
import { parseDigest } from '@coracle/oci-spec/digest'
import { parseReference } from '@coracle/oci-spec/reference'
import { eventually } from '@coracle/testkit/eventually'
import { type LayerSource, sha256, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { needsRoot } from '@coracle/testkit/needs-root'
import { startProgram } from '@coracle/testkit/program'
import { rawTar } from '@coracle/testkit/tar-builder'
import { createImagesWorld, type ImagesWorld, kill, soon } from './images-world.ts'

const layerOf = (name: string, bytes = 1000): LayerSource => {
  const tar = rawTar({ name, body: randomBytes(bytes) })
  return { tar, blob: gzipSync(tar, { level: 1 }) }
}

describe('pulls', needsRoot(), () => {
  let world: ImagesWorld
  before(async () => {
    world = await createImagesWorld()
  })
  after(() => world[Symbol.asyncDispose]())
  const at = (path: string) => join(world.directory, 'root', path)
  // Whatever a test did: what is not in use goes within a moment.
  afterEach(() =>
    eventually(
      'staging and trash are empty',
      async () => readdirSync(at('staging')).length + readdirSync(at('trash')).length === 0,
      { timeoutMs: 5000 },
    ),
  )
  const requestsFor = (blob: Buffer | undefined) =>
    world.registry.requests.filter(({ url }) => url.endsWith(sha256(blob ?? ''))).length
  /** Sends the first half of a blob, then waits for `go`. */
  const holdBack = (blob: Buffer) => {
    const { promise: go, resolve } = Promise.withResolvers<void>()
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.endsWith(sha256(blob))) return false
      response.writeHead(200, { 'content-length': blob.length })
      response.write(blob.subarray(0, blob.length / 2), () => reach())
      void go.then(() => response.end(blob.subarray(blob.length / 2)))
      return true
    })
    return {
      reached,
      go: () => {
        remove()
        resolve()
      },
    }
  }

  test('R-17 the same pull twice runs once; one of them canceled does not stop the other', async () => {
    const layer = layerOf('joined', 200_000)
    world.registry.addImage('joined', '1', [layer])
    const held = holdBack(layer.blob ?? Buffer.alloc(0))
    const leaver = new AbortController()
    const first = world.pull('joined:1', { signal: leaver.signal })
    const second = world.pull('joined:1')
    await held.reached
    leaver.abort(new Error('gone'))
    await assert.rejects(first, /gone/)
    held.go()
    assert.deepEqual((await second).tags, [world.ref('joined:1')])
    assert.equal(requestsFor(layer.blob), 1)
  })

  test('R-17 two images that share a layer download it once', async () => {
    const shared = layerOf('shared', 300_000)
    for (const name of ['s1', 's2', 's3']) world.registry.addImage(name, '1', [shared, layerOf(name)])
    await Promise.all(['s1:1', 's2:1', 's3:1'].map((name) => world.pull(name)))
    assert.equal(requestsFor(shared.blob), 1)
  })

  test('R-06 a mirror with bad bytes, broken gzip, a page in place of a layer: the registry is asked, and has the last word', async () => {
    const mirror = await startFaultRegistry()
    await using _mirror = mirror
    const layer = layerOf('mirrored', 100_000)
    const blob = layer.blob ?? Buffer.alloc(0)
    world.images.setRegistries({ mirrors: { [world.registry.host]: [mirror.host] } })
    const other = gzipSync(rawTar({ name: 'other', body: randomBytes(100_000) }), { level: 1 })
    const same = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(blob.length)]).subarray(0, blob.length)
    for (const [i, bytes] of [same(other), same(Buffer.from('<html>')), Buffer.from('<html>')].entries()) {
      world.registry.addImage(`mirrored${i}`, '1', [layer])
      mirror.fault((request, response) => {
        if (!request.url?.endsWith(sha256(blob))) return false
        response.end(bytes)
        return true
      })
      await world.pull(`mirrored${i}:1`)
      await world.images.remove(world.ref(`mirrored${i}:1`))
    }
    world.registry.addImage('mirrored', '1', [{ ...layer, blob: other, descriptor: { digest: sha256(blob), size: blob.length } }])
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.endsWith(sha256(blob))) return false
      response.end(same(other))
      return true
    })
    await assert.rejects(world.pull('mirrored:1'), (err) => ['data_loss', 'invalid_argument'].includes(codeOf(err)))
    remove()
    world.images.setRegistries({})
  })

  test('R-18 very many pulls at once: all end, no more downloads than allowed, no descriptor left', async () => {
    const count = 200
    const blobs = new Set<string>()
    for (let i = 0; i < count; i++) {
      const layer = layerOf(`crowd${i}`)
      blobs.add(sha256(layer.blob ?? ''))
      world.registry.addImage(`crowd${i}`, '1', [layer])
    }
    let now = 0
    let most = 0
    const remove = world.registry.fault((request, response) => {
      if (!blobs.has(request.url?.split('/').at(-1) ?? '')) return false
      most = Math.max(most, ++now)
      response.on('finish', () => now--)
      return false
    })
    const before = readdirSync('/proc/self/fd').length
    const names = Array.from({ length: count }, (_none, i) => `crowd${i}:1`)
    await Promise.all(names.map((name) => world.pull(name, { signal: AbortSignal.timeout(300_000) })))
    remove()
    assert.ok(most > 0 && most <= 16, `${most} layers at once`)
    await eventually('descriptors are given back', async () => readdirSync('/proc/self/fd').length <= before + 16)
    for (const name of names) await world.images.remove(world.ref(name))
  })

  test('R-17 a pull canceled by its last caller ends within a second and leaves nothing', async () => {
    const layer = layerOf('canceled', 200_000)
    const { config } = world.registry.addImage('canceled', '1', [layer])
    const layers = readdirSync(at('layers')).length
    const held = holdBack(layer.blob ?? Buffer.alloc(0))
    const controller = new AbortController()
    const pull = world.pull('canceled:1', { signal: controller.signal })
    await held.reached
    const startedAt = performance.now()
    controller.abort(new Error('enough'))
    await assert.rejects(pull, /enough/)
    assert.ok(performance.now() - startedAt < 1000)
    await eventually(
      'the connection is closed',
      async () => ![...world.registry.connections].some((socket) => socket.bytesWritten > 50_000),
      { timeoutMs: 2000 },
    )
    held.go()
    assert.equal(world.images.find(config), undefined)
    assert.equal(readdirSync(at('layers')).length, layers)
    await world.pull('canceled:1')
  })

  test('a deadline of a millisecond', async () => {
    world.registry.addImage('deadline', '1', [layerOf('deadline')])
    await assert.rejects(
      world.pull('deadline:1', { signal: AbortSignal.timeout(1) }),
      (err) => codeOf(err) === 'deadline_exceeded',
    )
  })

  test('silence ends a pull', async () => {
    const layer = layerOf('silent', 200_000)
    world.registry.addImage('silent', '1', [layer])
    const held = holdBack(layer.blob ?? Buffer.alloc(0))
    await assert.rejects(
      world.pull('silent:1'),
      (err) => codeOf(err) === 'deadline_exceeded' && /sent nothing for 2 s/.test(explain(err)),
    )
    held.go()
  })

  test('kill -9 of the worker: the pull goes on with another', async () => {
    const layer = layerOf('killed', 200_000)
    world.registry.addImage('killed', '1', [layer])
    const held = holdBack(layer.blob ?? Buffer.alloc(0))
    const pull = world.pull('killed:1')
    await held.reached
    held.go()
    for (const pid of world.workers) kill(pid)
    assert.deepEqual((await pull).tags, [world.ref('killed:1')])
  })

  test('R-28 kill -9 of the whole process: a new start sweeps, the pull succeeds', async () => {
    const layers = [layerOf('crash-a', 100_000), layerOf('crash-b', 200_000)]
    const { config } = world.registry.addImage('crash', '1', layers)
    await world.images.close()
    for (const waitMs of [0, 300]) {
      const held = holdBack(layers[1]?.blob ?? Buffer.alloc(0))
      const program = await startProgram({
        argv: [process.execPath, join(import.meta.dirname, 'pull-program.ts'), world.directory, world.ref('crash:1')],
        logPath: join(world.directory, 'log'),
      })
      await held.reached
      await delay(waitMs)
      await program.kill9()
      mkdirSync(at('layers/zzz'))
      writeFileSync(at('layers/zzz/orphan'), 'x')
      await world.reopen()
      held.go()
      assert.equal(world.images.find(config), undefined)
      assert.equal(existsSync(at('layers/zzz')), false)
      assert.deepEqual((await world.pull('crash:1')).tags, [world.ref('crash:1')])
      await world.images.remove(config)
      await world.images.close()
    }
    await world.reopen()
  })

  test('a layer lost from the disk marks its image at the next start; the pull brings it back', async () => {
    const { config } = world.registry.addImage('lost', '1', [layerOf('lost')])
    const layersBefore = new Set(readdirSync(at('layers')))
    await world.pull('lost:1')
    const [added = ''] = readdirSync(at('layers')).filter((name) => !layersBefore.has(name))
    await createHost().paths.removeTree(at(`layers/${added}`))
    await world.reopen()
    assert.match(world.images.find(config)?.damage ?? '', /its directory is missing/)
    await assert.rejects(
      world.images.createRootfs({ key: 'c', image: parseDigest('id', config) }, soon()),
      (err) => codeOf(err) === 'data_loss',
    )
    assert.equal((await world.pull('lost:1')).damage, undefined)
    await world.images.createRootfs({ key: 'c', image: parseDigest('id', config) }, soon())
    await world.images.removeRootfs('c')
  })

  test('a damaged index is moved aside; images are pulled anew', async () => {
    await world.pull('lost:1')
    await world.images.close()
    writeFileSync(at('images.db'), readFileSync(at('images.db')).fill(0x55))
    for (const suffix of ['-wal', '-shm']) await createHost().paths.removeTree(at(`images.db${suffix}`))
    await world.reopen()
    assert.deepEqual(world.images.list(), [])
    await world.pull('lost:1')
  })

  test('corrupt layers fail each by itself, beside a good one', async () => {
    const good = layerOf('good', 100_000)
    world.registry.addImage('good', '1', [good])
    const names = Array.from({ length: 10 }, (_, i) => `corrupt${i}`)
    for (const name of names) {
      const layer = layerOf(name, 100_000)
      const blob = Buffer.from(layer.blob ?? '')
      blob[blob.length >> 1] = (blob[blob.length >> 1] as number) ^ 0xff
      world.registry.addImage(name, '1', [{ ...layer, blob }, good])
    }
    const results = await Promise.allSettled([...names, 'good'].map((name) => world.pull(`${name}:1`)))
    assert.deepEqual(
      results.map(({ status }) => status),
      [...names.map(() => 'rejected'), 'fulfilled'],
    )
    for (const name of names) assert.equal(world.images.find(world.ref(`${name}:1`)), undefined)
  })

  test('the same diffID behind a bad blob of one image and a good one of another', async () => {
    const layer = layerOf('twofold', 100_000)
    const bad = gzipSync(rawTar({ name: 'other', body: 'x' }))
    world.registry.addImage('bad', '1', [{ ...layer, blob: bad }])
    world.registry.addImage('fine', '1', [layer])
    const [one, two] = await Promise.allSettled([world.pull('bad:1'), world.pull('fine:1')])
    assert.deepEqual([one.status, two.status], ['rejected', 'fulfilled'])
  })

  test('errors as kubelet wants them', async () => {
    const message = async (name: string) =>
      world.pull(name).then(
        () => assert.fail(),
        (err) => `${codeOf(err)} ${explain(err)}`,
      )
    assert.match(await message('no/such:1'), /^not_found pull image .*no\/such:1: .* answers 404/)
    for (const [status, code] of [
      [401, 'unauthenticated'],
      [403, 'permission_denied'],
      [500, 'unknown RegistryUnavailable: pull'],
    ] as const) {
      const remove = world.registry.fault((_request, response) => {
        response.writeHead(status).end()
        return true
      })
      assert.match(await message('any:1'), new RegExp(`^${code}.*answers ${status}`))
      remove()
    }
    const gone = await startFaultRegistry()
    await gone[Symbol.asyncDispose]()
    await assert.rejects(
      world.images.pull({ reference: parseReference(`${gone.host}/x:1`) }, soon()),
      (err) =>
        codeOf(err) === 'unknown' &&
        new RegExp(`^RegistryUnavailable: pull image ${gone.host}/x:1: connect to ${gone.host}: connection refused$`).test(
          explain(err),
        ),
    )
  })

  test('credentials reach the worker; other credentials are another pull', async () => {
    const layer = layerOf('private')
    world.registry.addImage('private', '1', [layer])
    const wanted = `Basic ${Buffer.from('user:correct horse').toString('base64')}`
    const remove = world.registry.fault((request, response) => {
      if (!request.url?.includes('/private/') || request.headers.authorization === wanted) return false
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      return true
    })
    const [refused, pulled] = await Promise.allSettled([
      world.pull('private:1', { credentials: { username: 'user', password: 'wrong password' } }),
      world.pull('private:1', { credentials: { username: 'user', password: 'correct horse' } }),
    ])
    assert.deepEqual([refused.status, pulled.status], ['rejected', 'fulfilled'])
    assert.doesNotMatch(explain(refused.status === 'rejected' && refused.reason), /wrong password/)
    remove()
  })

  test("TLS: a host's own authority is believed for it, an unknown one is not", async () => {
    await using secure = await startFaultRegistry({ tls: true })
    secure.addImage('tls', '1', [layerOf('tls', 100_000)])
    // localhost may speak plain HTTP: a name that may not.
    const name = `${secure.host}/tls:1`
    const pull = () => world.images.pull({ reference: parseReference(name) }, soon())
    const mirrors = { [secure.host]: [secure.url] }
    world.images.setRegistries({ mirrors, blocked: [] })
    await assert.rejects(pull(), /TLS with|RegistryUnavailable/)
    const ca = join(world.directory, 'ca.pem')
    writeFileSync(ca, secure.authority ?? '')
    world.images.setRegistries({ mirrors, caFiles: { [secure.host]: ca } })
    assert.deepEqual((await pull()).tags, [name])
    world.images.setRegistries({})
  })

  test('R-26 a full disk', async () => {
    const disk = join(world.directory, 'disk')
    mkdirSync(disk)
    world.host.mounts.mount({ type: 'tmpfs', source: 'tmpfs', destination: disk, options: ['size=24m'] })
    try {
      await using small = await createImagesWorld({ root: join(disk, 'root') })
      const big = rawTar({ name: 'big', body: Buffer.alloc(40_000_000) })
      small.registry.addImage('big', '1', [{ tar: big }])
      small.registry.addImage('fits', '1', [layerOf('fits')])
      const image = await small.pull('fits:1')
      await small.images.createRootfs({ key: 'c', image: image.id }, soon())
      await assert.rejects(small.pull('big:1'), (err) => codeOf(err) === 'resource_exhausted' && /no space/.test(explain(err)))
      await eventually('space is given back', async () => readdirSync(join(disk, 'root/trash')).length === 0, { timeoutMs: 5000 })
      fill(join(disk, 'filler'))
      await assert.rejects(
        small.images.createRootfs({ key: 'd', image: image.id }, soon()),
        (err) => codeOf(err) === 'resource_exhausted',
      )
      assert.deepEqual(small.images.rootfsKeys(), ['c'])
      await small.images.removeRootfs('c')
      await small.images.remove(image.id)
      assert.deepEqual(small.images.list(), [])
      await small.host.paths.removeTree(join(disk, 'filler'))
      await small.pull('fits:1')
    } finally {
      await world.host.mounts.unmount(disk)
    }
  })

  function fill(path: string): void {
    for (let bytes = 1024 * 1024; bytes >= 512; bytes /= 2) {
      try {
        for (;;) writeFileSync(path, Buffer.alloc(bytes), { flag: 'a' })
      } catch {
        // The next smaller piece.
      }
    }
  }
})
