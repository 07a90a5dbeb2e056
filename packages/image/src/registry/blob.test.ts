import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { explain } from '@coracle/base/errors'
import { delay } from '@coracle/base/signals'
import { type Digest, digestOf } from '@coracle/oci-spec/digest'
import type { Descriptor } from '@coracle/oci-spec/image'
import { type FaultRegistry, sha256, startFaultRegistry } from '@coracle/testkit/fault-registry'
import type { Credentials } from '../images.ts'
import { downloadBlob } from './blob.ts'
import { createRegistryClient, type RegistryClient } from './client.ts'
import type { Endpoint } from './endpoints.ts'
import { RegistryError, type RegistryFailure } from './errors.ts'
import { fetchBlob } from './manifests.ts'

const stallMs = 300

describe('blobs', () => {
  let registry: FaultRegistry
  let clients: RegistryClient[] = []
  beforeEach(async () => {
    registry = await startFaultRegistry()
  })
  afterEach(async () => {
    for (const client of clients) client.close()
    clients = []
    await registry[Symbol.asyncDispose]()
  })

  const endpointOf = (host: string, more: Partial<Endpoint> = {}): Endpoint => ({
    baseUrl: `http://${host}/v2`,
    host,
    insecure: true,
    isOrigin: true,
    ...more,
  })
  const connect = (credentials?: Credentials, endpoints: readonly Endpoint[] = [endpointOf(registry.host)]): RegistryClient => {
    const client = createRegistryClient({
      endpoints,
      repository: 'r',
      registries: {},
      stallTimeoutMs: stallMs,
      retryBaseMs: 5,
      ...(credentials === undefined ? {} : { credentials }),
    })
    clients.push(client)
    return client
  }
  const signal = AbortSignal.timeout(20_000)
  const fails = (work: Promise<unknown>, failure: RegistryFailure, message?: RegExp) =>
    assert.rejects(work, (err) => {
      assert.ok(err instanceof RegistryError, explain(err))
      assert.equal(err.failure, failure, explain(err))
      if (message) assert.match(err.message, message)
      return true
    })
  const blobOf = (bytes: Buffer, more: Partial<Descriptor> = {}): Descriptor => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: registry.addBlob(bytes) as Digest,
    size: bytes.length,
    ...more,
  })
  const download = async (blob: Descriptor, client = connect(), more: AbortSignal = signal) => {
    const chunks: Buffer[] = []
    for await (const chunk of downloadBlob(client, blob, { stallMs, retryBaseMs: 5, signal: more })) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  /** Answers the nth request of a kind by itself. */
  const once1 = (match: RegExp, answer: Parameters<FaultRegistry['fault']>[0]) => {
    let done = false
    registry.fault((request, response) => {
      if (done || !match.test(request.url ?? '')) return false
      done = true
      return answer(request, response)
    })
  }

  test('R-08 a broken blob is resumed where it broke', async () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i & 255))
    const blob = blobOf(bytes)
    const cutAt = (at: number) =>
      once1(/blobs/, (_request, response) => {
        response.writeHead(200, { 'content-length': bytes.length })
        response.write(bytes.subarray(0, at), () => setTimeout(() => response.destroy(), 20))
        return true
      })
    cutAt(50_000)
    assert.ok((await download(blob)).equals(bytes))
    assert.deepEqual(
      registry.requests.map(({ headers }) => headers.range),
      [undefined, 'bytes=50000-'],
    )
    // Cut again and again, and answered with everything each time.
    for (const at of [0, 1, 60_000]) cutAt(at)
    assert.ok((await download(blob)).equals(bytes))
  })

  test('R-09 a Range answered with everything is skipped over; a wrong range is refused', async () => {
    const bytes = Buffer.from('0123456789'.repeat(1000))
    const blob = blobOf(bytes)
    const cut = () =>
      once1(/blobs/, (_request, response) => {
        response.writeHead(200, { 'content-length': bytes.length })
        response.write(bytes.subarray(0, 7), () => setTimeout(() => response.destroy(), 20))
        return true
      })
    const rest = (status: number, headers: Record<string, string>, body: Buffer) =>
      registry.fault((request, response) => {
        if (request.headers.range === undefined) return false
        response.writeHead(status, headers).end(body)
        return true
      })
    let remove = rest(200, {}, bytes)
    cut()
    assert.ok((await download(blob)).equals(bytes))
    remove()
    for (const range of ['bytes 6-9999/10000', 'bytes 7-9999/9999', 'bytes x', '']) {
      remove = rest(206, { 'content-range': range }, bytes.subarray(7))
      cut()
      await fails(download(blob), 'corrupt')
      remove()
    }
  })

  test('R-10 silence ends a pull: in the headers, in the body, byte by byte', async () => {
    const blob = blobOf(Buffer.alloc(10_000))
    const faults: Parameters<FaultRegistry['fault']>[0][] = [
      () => true,
      (_request, response) => {
        response.writeHead(200, { 'content-length': 10_000 })
        response.write('x')
        return true
      },
      (_request, response) => {
        response.writeHead(200, { 'content-length': 10_000 })
        const timer = setInterval(() => response.write('x'), 20)
        response.once('close', () => clearInterval(timer))
        return true
      },
    ]
    for (const [i, fault] of faults.entries()) {
      const remove = registry.fault(fault)
      const startedAt = performance.now()
      await assert.rejects(download(blob), RegistryError, `fault ${i}`)
      assert.ok(performance.now() - startedAt < 8 * stallMs, `fault ${i} took ${performance.now() - startedAt} ms`)
      remove()
    }
  })

  test('R-10 an abort ends it at once', async () => {
    const blob = blobOf(Buffer.alloc(10_000))
    registry.fault(() => true)
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error('enough')), 30)
    const startedAt = performance.now()
    await assert.rejects(download(blob, connect(), controller.signal), /enough/)
    assert.ok(performance.now() - startedAt < 200)
  })

  test("R-11 slowness of our own is not the registry's", async () => {
    const blob = blobOf(Buffer.alloc(3_000_000))
    let bytes = 0
    let slow = 0
    for await (const chunk of downloadBlob(connect(), blob, { stallMs: 100, retryBaseMs: 5, signal })) {
      if (++slow <= 3) await delay(150)
      bytes += chunk.length
    }
    assert.equal(bytes, blob.size)
  })

  test('R-12 a body longer or shorter than said is refused', async () => {
    const blob = blobOf(Buffer.alloc(1000))
    for (const [length, sent] of [
      [999, 999],
      [1001, 1001],
      [undefined, 1001],
      [undefined, 2_000_000],
    ] as const) {
      const remove = registry.fault((_request, response) => {
        response.writeHead(200, length === undefined ? {} : { 'content-length': length }).end(Buffer.alloc(sent))
        return true
      })
      await fails(download(blob), 'corrupt')
      remove()
    }
  })

  test('R-21 an encoded blob is refused', async () => {
    const blob = blobOf(Buffer.from('{}'))
    registry.fault((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('{}')
      return true
    })
    await fails(download(blob), 'corrupt')
    await fails(fetchBlob(connect(), blob, { signal, stallMs, maxBytes: 100 }), 'protocol')
  })

  test('a small blob is checked by size and digest', async () => {
    const blob = blobOf(Buffer.from('{"a":1}'))
    assert.equal((await fetchBlob(connect(), blob, { signal, stallMs, maxBytes: 100 })).toString(), '{"a":1}')
    registry.fault((_request, response) => {
      response.end('{"a":2}')
      return true
    })
    await fails(fetchBlob(connect(), blob, { signal, stallMs, maxBytes: 100 }), 'corrupt')
    await fails(fetchBlob(connect(), { ...blob, size: 5 }, { signal, stallMs, maxBytes: 100 }), 'protocol')
    await assert.rejects(fetchBlob(connect(), { ...blob, size: 101 }, { signal, stallMs, maxBytes: 100 }), /larger than 100/)
    assert.equal(sha256('x'), digestOf('x'))
  })
})
