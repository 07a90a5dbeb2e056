// Registries that mean harm or know no better: one test a row of the catalogue, by its id.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { explain } from '@coracle/base/errors'
import { digestOf } from '@coracle/oci-spec/digest'
import { parseReference } from '@coracle/oci-spec/reference'
import { type FaultRegistry, sha256, startFaultRegistry } from '@coracle/testkit/fault-registry'
import type { Credentials } from '../images.ts'
import { downloadBlob } from './blob.ts'
import { createRegistryClient, type RegistrySource } from './client.ts'
import type { Endpoint } from './endpoints.ts'
import { fetchBlob, resolveManifest } from './manifests.ts'

// Long enough for a machine with other things to do; one test waits for it.
const stallMs = 3000
const signal = AbortSignal.timeout(120_000)
const platform = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' }
const types = { manifest: 'application/vnd.oci.image.manifest.v1+json', index: 'application/vnd.oci.image.index.v1+json' }

describe('hostile registries', () => {
  let registry: FaultRegistry
  beforeEach(async () => {
    registry = await startFaultRegistry()
  })
  afterEach(() => registry[Symbol.asyncDispose]())
  const endpointOf = (host: string, more: Partial<Endpoint> = {}): Endpoint => ({
    ...{ baseUrl: `http://${host}/v2`, host, insecure: true, isOrigin: true },
    ...more,
  })
  const connect = (more: Partial<RegistrySource> = {}) => {
    const endpoints = [endpointOf(registry.host)]
    const base = { endpoints, repository: 'r', registries: {}, stallTimeoutMs: stallMs, retryBaseMs: 2 }
    const client = createRegistryClient({ ...base, ...more })
    return { ...client, [Symbol.dispose]: () => client.close() }
  }
  const resolve = async (more: Partial<RegistrySource> = {}, name = '1') => {
    using client = connect(more)
    return await resolveManifest(client, { reference: parseReference(`r.io/r:${name}`), platform }, { signal, stallMs })
  }
  const answerAll = (status: number, headers: Record<string, string | string[]>, body: Buffer | string = '') =>
    registry.fault((_request, response) => {
      response.writeHead(status, headers).end(body)
      return true
    })

  test('CVE-2020-15157: a challenge of another host, after a redirect, gets nothing', async () => {
    await using thief = await startFaultRegistry()
    thief.fault((_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${thief.url}/token", Basic realm="x"` }).end()
      return true
    })
    registry.fault((request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      else response.writeHead(307, { location: `${thief.url}/blob` }).end()
      return true
    })
    const secrets: Credentials[] = [
      { username: 'u', password: 'geheim' },
      { identityToken: 'geheim' },
      { registryToken: 'geheim' },
    ]
    for (const credentials of secrets) await assert.rejects(resolve({ credentials }), /answers/)
    assert.ok(thief.requests.length > 0)
    for (const { url, headers, body } of thief.requests) {
      assert.equal(url, '/blob')
      assert.doesNotMatch(JSON.stringify(headers) + body, /geheim|authorization/i)
    }
  })

  test('CVE-2020-15157: a redirected token request is not sent again with its secret', async () => {
    await using thief = await startFaultRegistry()
    registry.fault((request, response) => {
      if (request.url?.startsWith('/token')) response.writeHead(307, { location: `${thief.url}/token` }).end()
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })
    await assert.rejects(resolve({ credentials: { identityToken: 'geheim' } }), /redirects a request with a body: refused/)
    assert.equal(thief.requests.length, 0)
  })

  test("credentials of a mirror are the mirror's, those of the request the registry's; configured headers stay at their host", async () => {
    await using mirror = await startFaultRegistry()
    await using storage = await startFaultRegistry()
    answerAll(404, {})
    mirror.fault((request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      else response.writeHead(307, { location: `${storage.url}/x` }).end()
      return true
    })
    const own = { credentials: { username: 'mirror', password: 'mirrorpass' }, headers: { 'x-key': 'geheim' }, isOrigin: false }
    const endpoints = [endpointOf(mirror.host, own), endpointOf(registry.host)]
    await assert.rejects(resolve({ endpoints, credentials: { username: 'u', password: 'requestpass' } }))
    const basic = `Basic ${Buffer.from('mirror:mirrorpass').toString('base64')}`
    assert.deepEqual(
      mirror.requests.map(({ headers }) => headers.authorization),
      [undefined, basic],
    )
    assert.deepEqual(
      mirror.requests.map(({ headers }) => headers['x-key']),
      ['geheim', 'geheim'],
    )
    assert.doesNotMatch(JSON.stringify(storage.requests), /x-key|authorization/)
    assert.doesNotMatch(JSON.stringify(registry.requests), /x-key|mirror/)
  })

  test('CVE-2026-53493: chains, and indexes of very many, end soon', async () => {
    const entry = (digest: string, size: number) => ({ mediaType: types.index, digest, size, platform })
    const add = (name: string, manifests: object[]) => {
      const body = JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests })
      return { digest: registry.addManifest('r', name, { mediaType: types.index, body }), size: body.length }
    }
    let inner = add('chain0', [])
    for (let i = 1; i <= 50; i++) inner = add(`chain${i}`, [entry(inner.digest, inner.size), entry(inner.digest, inner.size)])
    registry.requests.length = 0
    await assert.rejects(resolve({}, 'chain50'), /deeper/)
    assert.ok(registry.requests.length <= 4, `${registry.requests.length} requests`)
    add('wide', Array(100_000).fill(entry(inner.digest, inner.size)))
    await assert.rejects(resolve({}, 'wide'), /256|larger|more than/)
  })

  test('CVE-2020-1702 CVE-2023-25153: endless bodies, lengths that lie', async () => {
    const endless = (status: number, headers: Record<string, string>) =>
      registry.fault((_request, response) => {
        response.writeHead(status, headers)
        const chunk = Buffer.alloc(64 * 1024, 'x')
        const more = () => {
          while (!response.destroyed && response.write(chunk));
        }
        response.on('drain', more)
        more()
        return true
      })
    const before = process.memoryUsage().arrayBuffers
    for (const [status, message] of [
      [200, /more than 4194304 bytes/],
      [404, /answers 404/],
      [401, /answers 401/],
    ] as const) {
      const remove = endless(status, { 'content-type': types.manifest })
      await assert.rejects(resolve(), message)
      remove()
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 128 * 1024 * 1024)
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024), { level: 9 })
    const zip = answerAll(200, { 'content-type': types.manifest, 'content-encoding': 'gzip' }, bomb)
    await assert.rejects(resolve(), /too large/)
    zip()
    registry.fault((_request, response) => {
      response.writeHead(200, { 'content-type': types.manifest, 'content-length': 1000 }).write('{}')
      response.socket?.end()
      return true
    })
    await assert.rejects(resolve())
  })

  test('CVE-2021-21285: documents that break parsers are errors', async () => {
    const documents = [
      '['.repeat(100_000),
      `${'{"a":'.repeat(100_000)}1`,
      '{"schemaVersion":2,"config":{"size":1e400}}',
      '{"schemaVersion":2,"config":{"size":"1"},"layers":[]}',
      '{"schemaVersion":2,"config":{"size":-1},"layers":[]}',
      '{"schemaVersion":2,"config":{"size":9223372036854775808},"layers":[]}',
      '{"__proto__":{"schemaVersion":2},"constructor":{"prototype":{"x":1}}}',
      '{"schemaVersion":2,"layers":"\\ud800"}',
      '{"schemaVersion":2,"manifests":{"length":1}}',
      '\u0000',
      'null',
      '',
    ]
    for (const body of documents) {
      registry.addManifest('r', '1', { mediaType: types.manifest, body })
      await assert.rejects(resolve(), (err) => err instanceof Error && !(err instanceof RangeError), body.slice(0, 40))
    }
    assert.equal(({} as { schemaVersion?: number }).schemaVersion, undefined)
  })

  test('CVE-2026-22036: a chain of encodings is refused; failed pulls leave no descriptor', async () => {
    const blob = Buffer.from('blob')
    const chain = answerAll(200, { 'content-encoding': Array(300).fill('gzip').join(', ') }, blob)
    await assert.rejects(resolve(), /Content-Encoding/)
    using client = connect()
    const descriptor = { mediaType: 'x', digest: digestOf(blob), size: blob.length }
    await assert.rejects(fetchBlob(client, descriptor, { signal, stallMs, maxBytes: 100 }), /Content-Encoding/)
    const drained = async () => {
      for await (const _chunk of downloadBlob(client, descriptor, { signal, stallMs, retryBaseMs: 2 }));
    }
    await assert.rejects(drained(), /encodes the bytes/)
    chain()
    answerAll(404, {}, 'x'.repeat(100_000))
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 1000; i += 20) await Promise.allSettled(Array.from({ length: 20 }, () => resolve()))
    for (let i = 0; registry.connections.size > 1 && i < 100; i++) await new Promise((done) => setTimeout(done, 50))
    assert.ok(readdirSync('/proc/self/fd').length <= before + 4)
  })

  test('R-04 a challenge without scope, realms that are none, tokens that are none', async () => {
    const asked: string[] = []
    const challenge = (header: string, token: string) =>
      registry.fault((request, response) => {
        if (request.url?.startsWith('/token')) {
          asked.push(request.url)
          response.end(token)
        } else if (request.headers.authorization?.startsWith('Bearer ')) response.writeHead(404).end()
        else response.writeHead(401, { 'www-authenticate': header }).end()
        return true
      })
    for (const [header, token, message] of [
      [`Bearer realm="${registry.url}/token"`, '{"token":"abcd"}', /404/],
      [`Bearer realm="${registry.url}/token",service="s"`, '{"access_token":"abcd","expires_in":-5}', /404/],
      [`Bearer realm="${registry.url}/token",scope=""`, '{"token":"abcd"}', /404/],
      ['Bearer realm="/token"', '', /no http or https URL/],
      ['Bearer realm="file:///etc/shadow"', '', /no http or https URL/],
      ['Bearer realm="http://u:p@h/"', '', /credentials in its URL/],
      ['Bearer service="s"', '', /401/],
      ['Negotiate', '', /401/],
      [`Bearer realm="${registry.url}/token"`, '{}', /without a token/],
      [`Bearer realm="${registry.url}/token"`, '{"token":"a\\r\\nb"}', /without a token/],
      [`Bearer realm="${registry.url}/token"`, '<html>', /not valid JSON/],
      [`Bearer realm="${registry.url}/token"`, 'x'.repeat(2 * 1024 * 1024), /more than 1048576 bytes/],
    ] as const) {
      const remove = challenge(header, token)
      await assert.rejects(resolve(), message, header)
      remove()
    }
    assert.equal(asked[0], '/token?scope=repository%3Ar%3Apull')
    assert.equal(asked[1], '/token?service=s&scope=repository%3Ar%3Apull')
    assert.equal(asked[2], asked[0])
  })

  test('R-04 a token that dies in the middle of a pull is renewed once, then it is over', async () => {
    let good = 'first'
    let given = 0
    registry.addManifest('r', '1', { mediaType: 'x', body: 'm' })
    const blob = registry.addBlob(Buffer.from('layer'))
    registry.fault((request, response) => {
      if (request.url?.startsWith('/token')) {
        given++
        response.end(JSON.stringify({ token: good, expires_in: 300 }))
        return true
      }
      if (request.headers.authorization === `Bearer ${good}`) return false
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })
    using client = connect()
    const get = async (path: string) => (await client.get({ path, signal })).response.resume()
    await get('manifests/1')
    await get('manifests/1')
    assert.equal(given, 1)
    good = 'second'
    await get(`blobs/${blob}`)
    assert.equal(given, 2)
    // As the worker has it: what was learned goes along.
    using worker = connect(client.handOn())
    ;(await worker.get({ path: `blobs/${blob}`, signal })).response.resume()
    assert.equal(given, 2)
  })

  test('R-06 R-08 the next endpoint goes on where a blob broke off, stalled or reset', async () => {
    const blob = Buffer.alloc(300_000, 'abc')
    const digest = registry.addBlob(blob)
    for (const harm of ['stall', 'reset'] as const) {
      await using mirror = await startFaultRegistry()
      mirror.fault((_request, response) => {
        response.writeHead(200, { 'content-length': blob.length })
        response.write(blob.subarray(0, 100_000), () => harm === 'reset' && setTimeout(() => response.destroy(), 20))
        return true
      })
      registry.requests.length = 0
      using client = connect({ endpoints: [endpointOf(mirror.host, { isOrigin: false }), endpointOf(registry.host)] })
      const received: Buffer[] = []
      const descriptor = { mediaType: 'x', digest: digestOf(blob), size: blob.length }
      for await (const chunk of downloadBlob(client, descriptor, { signal, stallMs, retryBaseMs: 2 })) received.push(chunk)
      assert.equal(sha256(Buffer.concat(received)), digest)
      assert.equal(registry.requests[0]?.headers.range, 'bytes=100000-', harm)
    }
  })

  test('R-13 R-24 a mirror that lies or shows a page is passed over', async () => {
    const { manifest } = registry.addImage('r', '1', [{ tar: Buffer.alloc(1024) }])
    await using mirror = await startFaultRegistry()
    const endpoints = [endpointOf(mirror.host, { isOrigin: false }), endpointOf(registry.host)]
    for (const headers of [
      { 'content-type': 'text/html' },
      { 'content-type': types.manifest, 'docker-content-digest': sha256('x') },
    ]) {
      const remove = mirror.fault((_request, response) => {
        response.writeHead(200, headers).end('<html><body>Log in')
        return true
      })
      assert.equal((await resolve({ endpoints })).topDigest, manifest)
      remove()
    }
  })

  test('R-19 the first address of a name is dead: the next one serves', async () => {
    registry.addManifest('r', '1', { mediaType: 'x', body: 'm' })
    // localhost is ::1 first on most machines, and nobody listens there.
    using client = connect({ endpoints: [endpointOf(registry.host.replace('127.0.0.1', 'localhost'))] })
    assert.equal((await client.get({ path: 'manifests/1', signal })).response.statusCode, 200)
  })

  test('R-25 CVE-2020-8564: no secret in any error, however it comes back', async () => {
    registry.fault((request, response) => {
      const secret = `${request.headers.authorization} ${request.url}`
      if (request.url?.startsWith('/token')) response.writeHead(500).end(secret)
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token?echo=requestpass"` }).end(secret)
      return true
    })
    for (const credentials of [{ username: 'u', password: 'requestpass' }, { identityToken: 'requestpass' }]) {
      await assert.rejects(resolve({ credentials }), (err) => {
        const basic = Buffer.from('u:requestpass').toString('base64')
        assert.doesNotMatch(explain(err), /requestpass/)
        assert.ok(!explain(err).includes(basic))
        return true
      })
    }
  })
})
