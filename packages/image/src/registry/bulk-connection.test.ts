import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { explain } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import type { Digest } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { type FaultRegistry, type FaultRegistryOptions, sha256, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { downloadBlob } from './blob.ts'
import { downloadParallel } from './blob-parallel.ts'
import { bulkBody } from './bulk-connection.ts'
import { createRegistryClient, type RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'

const MiB = 1024 * 1024
const stallMs = 500
const signal = AbortSignal.timeout(60_000)

/** No two of its pieces are alike. */
const content = Buffer.allocUnsafe(20 * MiB)
for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2654435761) >>> 0, at)

interface World extends AsyncDisposable {
  readonly registry: FaultRegistry
  readonly client: RegistryClient
  readonly blob: Descriptor
}

async function start(options: FaultRegistryOptions = {}): Promise<World> {
  const registry = await startFaultRegistry(options)
  const { host, url, authority } = registry
  const client = createRegistryClient(
    {
      endpoints: [{ baseUrl: `${url}/v2`, host, insecure: url.startsWith('http:'), isOrigin: true }],
      repository: 'r',
      registries: {},
      stallTimeoutMs: stallMs,
      retryBaseMs: 5,
      tls: { '*': { authorities: [authority ?? ''].filter(Boolean) } },
    },
    { bulk: true },
  )
  const digest = registry.addBlob(content) as Digest
  const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: content.length }
  return {
    ...{ registry, client, blob },
    async [Symbol.asyncDispose]() {
      client.close()
      await registry[Symbol.asyncDispose]()
    },
  }
}

interface Downloaded {
  readonly digest: string
  readonly largest: number
}

async function download({ client, blob }: World, pause = async (_bytes: number) => {}, until = signal): Promise<Downloaded> {
  const hash = createHash('sha256')
  let [bytes, largest] = [0, 0]
  for await (const piece of downloadBlob(client, blob, { stallMs, retryBaseMs: 5, signal: until })) {
    bytes += piece.length
    // What is looked at stays as it is while more arrives.
    await pause(bytes)
    hash.update(piece)
    largest = Math.max(largest, piece.length)
  }
  return { digest: `sha256:${hash.digest('hex')}`, largest }
}

/** Whether bodies are taken over from Node's HTTP here. */
async function isBulk({ client, blob }: World, path = `blobs/${blob.digest}`): Promise<boolean> {
  const { response } = await client.get({ path, signal })
  const body = bulkBody(response)
  response.destroy()
  return body !== undefined
}

for (const [name, options] of [
  ['plain HTTP', {}],
  ['TLS', { tls: true }],
] as const)
  describe(`bulk over ${name}`, () => {
    test('a large blob comes whole, in pieces larger than those of a stream', async () => {
      await using world = await start(options)
      assert.ok(await isBulk(world))
      const { digest, largest } = await download(world)
      assert.equal(digest, world.blob.digest)
      assert.ok(largest > 64 * 1024, `${largest}`)
    })

    test('to a reader that is slow, and with several at once', async () => {
      await using world = await start(options)
      let pauses = 0
      const slowly = async () => {
        if (++pauses % 20 === 0) await delay(1, signal)
      }
      const all = await Promise.all([download(world, slowly), download(world, slowly), download(world)])
      for (const { digest } of all) assert.equal(digest, world.blob.digest)
    })

    test('R-08 what breaks off is resumed where it broke', async () => {
      await using world = await start(options)
      const cuts = [12 * MiB, 10]
      world.registry.fault((_request, response) => {
        const at = cuts.pop()
        if (at === undefined) return false
        response.writeHead(200, { 'content-length': content.length })
        response.write(content.subarray(0, at), () => setTimeout(() => response.destroy(), 20))
        return true
      })
      assert.equal((await download(world)).digest, world.blob.digest)
      const ranges = world.registry.requests.map(({ headers }) => headers.range)
      assert.deepEqual([ranges[0], ranges.length], [undefined, ranges.includes('bytes=10-') ? 3 : 2])
    })

    test('R-10 silence and an abort end it', async () => {
      await using world = await start(options)
      world.registry.fault((_request, response) => {
        response.writeHead(200, { 'content-length': content.length })
        response.write(content.subarray(0, 9 * MiB))
        return true
      })
      await assert.rejects(download(world), (err) => err instanceof RegistryError && /sent nothing for 0.5 s/.test(explain(err)))
      const controller = new AbortController()
      const startedAt = performance.now()
      const aborting = async (bytes: number) => void (bytes > 8 * MiB && controller.abort(new Error('enough')))
      await assert.rejects(download(world, aborting, controller.signal), /enough/)
      assert.ok(performance.now() - startedAt < stallMs)
    })

    test('R-12 a body ends where its head said', async () => {
      await using world = await start(options)
      world.registry.fault((request, response) => {
        if (request.method !== 'GET') return false
        const head = `HTTP/1.1 200 OK\r\ncontent-length: ${content.length}\r\n\r\n`
        request.socket.write(Buffer.concat([Buffer.from(head), content, Buffer.from('HTTP/1.1 200 OK\r\n\r\n')]))
        response.on('close', () => {})
        return true
      })
      assert.equal((await download(world)).digest, world.blob.digest)
    })

    test('nothing of it stays open: at its end, given up in the middle, closed', async () => {
      await using world = await start(options)
      await download(world)
      for await (const _ of downloadBlob(world.client, world.blob, { stallMs, retryBaseMs: 5, signal })) break
      const { response } = await world.client.get({ path: `blobs/${world.blob.digest}`, signal })
      void bulkBody(response)?.[Symbol.asyncIterator]().next()
      world.client.close()
      for (let tries = 0; world.registry.connections.size > 0; tries++) {
        assert.ok(tries < 100, `${world.registry.connections.size} connections`)
        await delay(20, signal)
      }
    })

    test('what is small, or of unknown length, is read as ever; a connection serves many of them', async () => {
      await using world = await start(options)
      const small = world.registry.addBlob(Buffer.from('small'))
      for (let i = 0; i < 3; i++) assert.equal(await isBulk(world, `blobs/${small}`), false)
      for (let i = 0; i < 5; i++) {
        const blob = { ...world.blob, digest: small as Digest, size: 5 }
        assert.equal((await download({ ...world, blob })).digest, sha256('small'))
      }
      // Each of the first three was given up unread.
      assert.ok(world.registry.requests.length === 8 && world.registry.connections.size <= 2)
      const remove = world.registry.fault((_request, response) => {
        response.writeHead(200)
        response.end(content)
        return true
      })
      assert.equal(await isBulk(world), false)
      assert.equal((await download(world)).digest, world.blob.digest)
      remove()
    })

    test('a connection that ends between two requests is made anew', async () => {
      await using world = await start(options)
      const blob = { ...world.blob, digest: world.registry.addBlob(Buffer.from('small')) as Digest, size: 5 }
      for (const end of ['end', 'destroy'] as const) {
        assert.equal((await download({ ...world, blob })).digest, sha256('small'))
        for (const connection of world.registry.connections) connection[end]()
        await delay(50, signal)
        assert.equal(world.registry.connections.size, 0)
      }
      assert.equal((await download({ ...world, blob })).digest, sha256('small'))
      assert.equal(world.registry.requests.length, 3)
    })

    test('beside pieces by Range', async () => {
      await using world = await start(options)
      const hash = createHash('sha256')
      const settings = { ...{ stallMs, retryBaseMs: 5, signal, connections: 3 }, judgedAfterMs: 0, slowBytesPerMs: 1e9 }
      const pieces = downloadParallel(world.client, world.blob, { ...settings, pieceBytes: MiB })
      for await (const piece of pieces) hash.update(piece)
      assert.equal(`sha256:${hash.digest('hex')}`, world.blob.digest)
      assert.ok(world.registry.requests.length > 3)
    })
  })

test('HTTP/2 only where there is nothing else: it reads for itself', async () => {
  for (const [http2, version] of [
    [true, '1.1'],
    ['only', '2.0'],
  ] as const) {
    await using world = await start({ tls: true, http2 })
    assert.equal(await isBulk(world), version === '1.1')
    assert.equal((await download(world)).digest, world.blob.digest)
    assert.deepEqual([...new Set(world.registry.requests.map(({ httpVersion }) => httpVersion))], [version])
  }
})
