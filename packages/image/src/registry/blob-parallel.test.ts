import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { Digest } from '@coracle/oci-spec/digest'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { downloadParallel, type ParallelOptions } from './blob-parallel.ts'
import { createRegistryClient, type RegistryClient } from './client.ts'
import { RegistryError } from './errors.ts'

const pieceBytes = 64 * 1024

describe('a blob over several connections', () => {
  let registry: FaultRegistry
  let client: RegistryClient
  const bytes = randomBytes(20 * pieceBytes + 17)
  beforeEach(async () => {
    registry = await startFaultRegistry()
    client = createRegistryClient({
      endpoints: [{ baseUrl: `${registry.url}/v2`, host: registry.host, insecure: true, isOrigin: true }],
      repository: 'r',
      registries: {},
      stallTimeoutMs: 2000,
      retryBaseMs: 5,
    })
  })
  afterEach(async () => {
    client.close()
    await registry[Symbol.asyncDispose]()
  })

  /** The first answer comes in drops; what is asked for by range comes at once. */
  const slowFirst = (answer: (offset: number) => void = () => {}) =>
    registry.fault((request, response) => {
      if (request.headers.range !== undefined) return false
      response.writeHead(200, { 'content-length': bytes.length })
      let at = 0
      const drip = () => {
        if (response.destroyed) return
        answer(at)
        if (at >= bytes.length) return void response.end()
        response.write(bytes.subarray(at, at + 8192))
        at += 8192
        setTimeout(drip, 2)
      }
      drip()
      return true
    })
  const download = async (more: Partial<ParallelOptions> = {}, size = bytes.length): Promise<Buffer> => {
    const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: registry.addBlob(bytes) as Digest, size }
    const options = {
      ...{ connections: 4, judgedAfterMs: 5, slowBytesPerMs: 1e9, pieceBytes, stallMs: 2000, retryBaseMs: 5 },
      ...{ signal: AbortSignal.timeout(60_000), ...more },
    }
    const chunks: Buffer[] = []
    for await (const chunk of downloadParallel(client, blob, options)) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  const ranges = () => registry.requests.flatMap(({ headers }) => headers.range ?? [])

  test('a slow one is helped by pieces of what lies ahead, in order', async () => {
    slowFirst()
    assert.ok((await download()).equals(bytes))
    assert.ok(ranges().length >= 4, ranges().join())
    assert.ok(ranges().every((range) => /^bytes=\d+-\d*$/.test(range)))
  })

  test('a part of it, from a place to a place', async () => {
    slowFirst()
    const [from, to] = [1000, 18 * pieceBytes + 5]
    assert.ok((await download({ from, to })).equals(bytes.subarray(from, to)))
  })

  test('one that is fast, one that is small, and one that shall stay alone', async () => {
    assert.ok((await download({ slowBytesPerMs: 0 })).equals(bytes))
    assert.ok((await download({ connections: 1 })).equals(bytes))
    assert.ok((await download({ pieceBytes: bytes.length })).equals(bytes))
    assert.deepEqual(ranges(), [])
  })

  test('a server without ranges goes on over its one connection', async () => {
    slowFirst()
    registry.fault((request, response) => {
      if (request.headers.range === undefined) return false
      response.writeHead(200, { 'content-length': bytes.length })
      response.end(bytes)
      return true
    })
    assert.ok((await download()).equals(bytes))
    const whole = registry.requests.filter(({ headers }) => headers.range === undefined)
    assert.equal(whole.length, 1, 'the first connection was given up')
  })

  test('a piece that breaks is resumed; a connection that breaks before the pieces, too', async () => {
    slowFirst()
    let broken = 0
    registry.fault((request, response) => {
      const [, from = '', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
      if (from === '' || broken++ % 3 !== 0) return false
      const end = to === '' ? bytes.length : Number(to) + 1
      response.writeHead(206, {
        'content-range': `bytes ${from}-${end - 1}/${bytes.length}`,
        'content-length': end - Number(from),
      })
      response.write(bytes.subarray(Number(from), Number(from) + 1000), () => response.destroy())
      return true
    })
    assert.ok((await download()).equals(bytes))
  })

  test('what fails for good fails the whole, and nothing goes on after it', async () => {
    slowFirst()
    registry.fault((request, response) => {
      if (request.headers.range === undefined) return false
      response.writeHead(404).end()
      return true
    })
    await assert.rejects(download(), (err) => err instanceof RegistryError && err.failure === 'not_found')
    const before = registry.requests.length
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(registry.requests.length, before)
  })

  test('a caller who leaves in the middle leaves nothing open', async () => {
    slowFirst()
    const caller = new AbortController()
    let seen = 0
    const blob = { mediaType: 't', digest: registry.addBlob(bytes) as Digest, size: bytes.length }
    const options = { connections: 4, judgedAfterMs: 5, slowBytesPerMs: 1e9, pieceBytes, stallMs: 2000, retryBaseMs: 5 }
    for await (const chunk of downloadParallel(client, blob, { ...options, signal: caller.signal })) {
      seen += chunk.length
      if (seen > 8 * pieceBytes) break
    }
    client.close()
    for (let tries = 0; registry.connections.size > 0 && tries < 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(registry.connections.size, 0)
  })
})
