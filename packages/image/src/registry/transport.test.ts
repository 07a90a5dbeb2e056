import assert from 'node:assert/strict'
import type { ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { explain } from '@coracle/base/errors'
import { digestOf } from '@coracle/oci-spec/digest'
import { type Authority, createAuthority } from '@coracle/testkit/authority'
import { startConnectProxy } from '@coracle/testkit/connect-proxy'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import { downloadBlob } from './blob.ts'
import { createRegistryClient, type RegistrySource } from './client.ts'
import type { Endpoint } from './endpoints.ts'
import { RegistryError, type RegistryFailure } from './errors.ts'
import { readBody } from './http.ts'

const stallMs = 10_000
const signal = AbortSignal.timeout(60_000)

/** A client of one or more endpoints, closed at the end of the scope. */
function connect(endpoints: readonly Endpoint[], more: Partial<RegistrySource> = {}) {
  const source = { endpoints, repository: 'r', registries: {}, stallTimeoutMs: stallMs, retryBaseMs: 5, ...more }
  const client = createRegistryClient(source)
  return { ...client, [Symbol.dispose]: () => client.close() }
}

const secure = (host: string, more: Partial<Endpoint> = {}): Endpoint => ({
  baseUrl: `https://${host}/v2`,
  host,
  insecure: false,
  isOrigin: true,
  ...more,
})

async function text(client: ReturnType<typeof connect>, path = 'manifests/1'): Promise<string> {
  const { response, endpoint } = await client.get({ path, signal })
  return (await readBody(response, { host: endpoint.host, maxBytes: 1000, stallMs })).toString()
}

const fails = (work: Promise<unknown>, failure: RegistryFailure, message: RegExp) =>
  assert.rejects(work, (err) => {
    assert.ok(err instanceof RegistryError, explain(err))
    assert.equal(err.failure, failure, explain(err))
    assert.match(explain(err), message)
    return true
  })

let authority: Authority
before(async () => {
  authority = await createAuthority()
})
after(() => authority[Symbol.asyncDispose]())
const trusting = () => ({ tls: { '*': { authorities: [authority.certificate] } } })

describe('TLS', () => {
  test('R-20 an expired certificate, a wrong name, an unknown authority: each is named', async () => {
    for (const [options, message] of [
      [{ expired: true }, /expired/],
      [{ names: ['DNS:elsewhere.example'] }, /does not match|ERR_TLS_CERT_ALTNAME_INVALID/],
    ] as const) {
      await using registry = await startFaultRegistry({ identity: await authority.issue(options) })
      using client = connect([secure(registry.host)], trusting())
      await fails(text(client), 'tls', message)
      assert.equal(registry.requests.length, 0)
    }
    await using registry = await startFaultRegistry({ tls: true })
    using client = connect([secure(registry.host)], trusting())
    await fails(text(client), 'tls', new RegExp(`${registry.host}.*unknown authority`))
  })

  test('R-20 a server that knows only TLS 1.1', async () => {
    const more = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    await using registry = await startFaultRegistry({ identity: await authority.issue(), more })
    using client = connect([secure(registry.host)], trusting())
    await fails(text(client), 'tls', /version|protocol|handshake/i)
  })

  test('R-20 a server that speaks plain HTTP: said in words, without those of OpenSSL', async () => {
    await using registry = await startFaultRegistry()
    using client = connect([secure(registry.host)], trusting())
    await fails(
      text(client),
      'tls',
      /^TLS with 127\.0\.0\.1:\d+: what it speaks is no TLS, perhaps plain HTTP: .*\(ERR_SSL_\w+\)$/,
    )
  })

  test('R-20 an authority of one host is believed for that host only', async () => {
    await using one = await startFaultRegistry({ identity: await authority.issue() })
    await using other = await startFaultRegistry({ identity: await authority.issue() })
    one.addManifest('r', '1', { mediaType: 'x', body: 'one' })
    const tls = { '*': { authorities: [] }, [one.host]: { authorities: [authority.certificate] } }
    using client = connect([secure(one.host)], { tls })
    assert.equal(await text(client), 'one')
    using stranger = connect([secure(other.host)], { tls })
    await fails(text(stranger), 'tls', /unknown authority/)
    // Nor after a redirect.
    one.fault((_request, response) => {
      response.writeHead(307, { location: `${other.url}/x` }).end()
      return true
    })
    await fails(text(client), 'tls', /unknown authority/)
  })

  test('R-20 an authority that is no certificate is told, not passed over', async () => {
    await using registry = await startFaultRegistry({ identity: await authority.issue() })
    registry.addManifest('r', '1', { mediaType: 'x', body: 'in' })
    const trusted = (text: string) => ({ tls: { [registry.host]: { authorities: [text, authority.certificate] } } })
    const broken = authority.certificate.replace(/\n[A-Za-z0-9+/]{40}/, '\n!')
    for (const bad of ['garbage', broken, authority.certificate.replaceAll('-----', '--')]) {
      using client = connect([secure(registry.host)], trusted(bad))
      await fails(text(client), 'tls', /certificates configured for 127.* cannot be used: an authority is no certificate in PEM/)
    }
    // What stands around a certificate is a comment; an empty file is none.
    for (const good of [`about it\n${authority.certificate}`, '', '\n']) {
      using client = connect([secure(registry.host)], trusted(good))
      assert.equal(await text(client), 'in')
    }
  })

  test('R-20 a client certificate is shown to its host, and to no other', async () => {
    const clientAuthority = authority.certificate
    await using registry = await startFaultRegistry({ identity: await authority.issue(), clientAuthority })
    registry.addManifest('r', '1', { mediaType: 'x', body: 'in' })
    const { cert, key } = await authority.issue({ names: ['DNS:node'] })
    const own = { [registry.host]: { certificate: cert, key } }
    using client = connect([secure(registry.host)], { tls: { ...trusting().tls, ...own } })
    assert.equal(await text(client), 'in')
    using without = connect([secure(registry.host)], { tls: { ...trusting().tls, '127.0.0.1:1': { certificate: cert, key } } })
    await assert.rejects(
      text(without),
      (err) => /certificate required|ECONNRESET|alert/i.test(explain(err)) && !explain(err).includes('.c:'),
    )
    const unusable = { [registry.host]: { certificate: 'nonsense', key } }
    using broken = connect([secure(registry.host)], { tls: unusable })
    await fails(text(broken), 'tls', /certificates configured for .* cannot be used/)
  })

  test('skip_verify holds for its host only', async () => {
    await using registry = await startFaultRegistry({ tls: true })
    registry.addManifest('r', '1', { mediaType: 'x', body: 'whoever' })
    using client = connect([secure(registry.host)], { tls: { [registry.host]: { skipVerify: true } } })
    assert.equal(await text(client), 'whoever')
    using other = connect([secure(registry.host)], { tls: { '127.0.0.1:1': { skipVerify: true } } })
    await fails(text(other), 'tls', /unknown authority/)
  })

  test("a registry's authority is trusted for the token service that it names; its client certificate stays", async () => {
    await using registry = await startFaultRegistry({ identity: await authority.issue() })
    await using tokens = await startFaultRegistry({
      identity: await authority.issue(),
      more: { requestCert: true, rejectUnauthorized: false },
    })
    tokens.fault((request, response) => {
      const shown =
        'getPeerCertificate' in request.socket && Object.keys((request.socket.getPeerCertificate as () => object)()).length
      response.end(JSON.stringify({ token: shown === 0 ? 'nothing-shown' : 'shown' }))
      return true
    })
    registry.fault((request, response) => {
      const given = request.headers.authorization
      if (given === undefined) response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token"` }).end()
      else response.end(given)
      return true
    })
    const { cert, key } = await authority.issue()
    const tls = { '*': {}, [registry.host]: { authorities: [authority.certificate], certificate: cert, key } }
    using client = connect([secure(registry.host)], { tls })
    assert.equal(await text(client), 'Bearer nothing-shown')
  })

  test('R-10 a handshake that never ends, on the way to the next endpoint', async () => {
    const sockets: Socket[] = []
    const silent = createServer((socket) => {
      socket.on('error', () => {}).resume()
      sockets.push(socket)
    })
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    try {
      const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`
      await using registry = await startFaultRegistry({ identity: await authority.issue() })
      registry.addManifest('r', '1', { mediaType: 'x', body: 'there' })
      using alone = connect([secure(host, { connectTimeoutMs: 200 })], trusting())
      await fails(text(alone), 'unavailable', /no answer in 0.2 s/)
      using both = connect([secure(host, { connectTimeoutMs: 200, isOrigin: false }), secure(registry.host)], trusting())
      assert.equal(await text(both), 'there')
      // One that is closed while it connects lets go at once.
      const given = connect([secure(host)], trusting())
      const waiting = assert.rejects(text(given))
      await new Promise((done) => setTimeout(done, 100))
      given.close()
      await waiting
      for (let i = 0; sockets.some(({ destroyed }) => !destroyed) && i < 200; i++)
        await new Promise((done) => setTimeout(done, 50))
      assert.ok(sockets.every(({ destroyed }) => destroyed))
    } finally {
      for (const socket of sockets) socket.destroy()
      silent.close()
    }
  })

  test('plain HTTP beside TLS: only where TLS does not come about, and then for good', async () => {
    await using plain = await startFaultRegistry()
    plain.addManifest('r', '1', { mediaType: 'x', body: 'plain' })
    const pair = (host: string): Endpoint[] => [
      secure(host),
      { ...secure(host), baseUrl: `http://${host}/v2`, insecure: true, isPlainTwin: true },
    ]
    using client = connect(pair(plain.host))
    assert.equal(await text(client), 'plain')
    const accepted = plain.requests.length
    assert.equal(await text(client), 'plain')
    assert.equal(plain.requests.length, accepted + 1)
    assert.deepEqual(
      client.handOn().endpoints.map(({ baseUrl }) => baseUrl),
      [`http://${plain.host}/v2`],
    )
    await using there = await startFaultRegistry({ identity: await authority.issue() })
    using refused = connect(pair(there.host), trusting())
    await fails(text(refused), 'not_found', /404/)
  })
})

describe('HTTP/2', () => {
  let registry: FaultRegistry
  before(async () => {
    registry = await startFaultRegistry({ identity: await authority.issue(), http2: true })
  })
  after(() => registry[Symbol.asyncDispose]())

  test('where the server prefers it: many requests on one connection, a large blob whole', async () => {
    const bytes = Buffer.alloc(24 * 1024 * 1024, 'coracle')
    const digest = digestOf(bytes)
    registry.addBlob(bytes)
    registry.addManifest('r', '1', { mediaType: 'x', body: 'two' })
    using client = connect([secure(registry.host)], trusting())
    registry.requests.length = 0
    assert.deepEqual(await Promise.all([text(client), text(client), text(client)]), ['two', 'two', 'two'])
    assert.deepEqual(
      registry.requests.map(({ httpVersion }) => httpVersion),
      ['2.0', '2.0', '2.0'],
    )
    assert.equal(registry.connections.size, 1)
    const received: Buffer[] = []
    for await (const chunk of downloadBlob(
      client,
      { digest, size: bytes.length, mediaType: 'x' },
      { stallMs, retryBaseMs: 5, signal },
    ))
      received.push(chunk)
    assert.ok(Buffer.concat(received).equals(bytes))
  })

  test('R-22 GOAWAY and a reset in the middle of a blob: resumed where it broke', async () => {
    const bytes = Buffer.alloc(1024 * 1024, 'x')
    registry.addBlob(bytes)
    for (const harm of ['goaway', 'reset'] as const) {
      let done = false
      const remove = registry.fault((request, response) => {
        if (done || !request.url?.includes('/blobs/')) return false
        done = true
        const { stream } = response as unknown as { stream: ServerHttp2Stream }
        response.writeHead(200, { 'content-length': bytes.length })
        response.write(bytes.subarray(0, 300_000), () =>
          setTimeout(() => {
            if (harm === 'goaway') stream.session?.goaway(2)
            stream.close(2)
          }, 50),
        )
        return true
      })
      registry.requests.length = 0
      using client = connect([secure(registry.host)], trusting())
      let received = 0
      const blob = { digest: digestOf(bytes), size: bytes.length, mediaType: 'x' }
      for await (const chunk of downloadBlob(client, blob, { stallMs, retryBaseMs: 5, signal })) received += chunk.length
      assert.equal(received, bytes.length, harm)
      assert.equal(registry.requests.length, 2, harm)
      assert.match(registry.requests[1]?.headers.range ?? '', /^bytes=\d+-$/)
      remove()
    }
  })

  test('R-22 a connection that ends between two requests is made anew', async () => {
    registry.addManifest('r', '1', { mediaType: 'x', body: 'again' })
    using client = connect([secure(registry.host)], trusting())
    assert.equal(await text(client), 'again')
    for (const socket of registry.connections) socket.destroy()
    assert.equal(await text(client), 'again')
  })

  test('silence and cancellation', async () => {
    registry.fault((request) => request.url?.includes('silent') === true)
    using client = connect([secure(registry.host)], { ...trusting(), stallTimeoutMs: 300 })
    await fails(client.get({ path: 'manifests/silent', signal }), 'unavailable', /no answer in/)
    const mine = new AbortController()
    using patient = connect([secure(registry.host)], trusting())
    const waiting = patient.get({ path: 'manifests/silent', signal: mine.signal })
    setTimeout(() => mine.abort(new Error('enough')), 50)
    await assert.rejects(waiting, /enough/)
  })
})

describe('proxies', () => {
  test('R-23 CONNECT for TLS, with credentials; the name is the proxy’s to look up', async () => {
    const identity = await authority.issue({ names: ['DNS:registry.example'] })
    await using registry = await startFaultRegistry({ identity, http2: true })
    registry.addManifest('r', '1', { mediaType: 'x', body: 'far' })
    const routes = { 'registry.example:443': registry.host }
    await using proxy = await startConnectProxy({ routes, credentials: 'me:gehe!m' })
    const proxies = { https: `http://me:gehe%21m@${proxy.host}` }
    using client = connect([secure('registry.example')], { ...trusting(), proxies })
    assert.equal(await text(client), 'far')
    assert.equal(registry.requests[0]?.headers['proxy-authorization'], undefined)
    assert.deepEqual(proxy.asked, ['CONNECT registry.example:443'])
  })

  test('R-23 plain HTTP through a proxy', async () => {
    await using registry = await startFaultRegistry()
    registry.addManifest('r', '1', { mediaType: 'x', body: 'plain' })
    await using proxy = await startConnectProxy({ routes: { 'registry.example:80': registry.host } })
    const endpoint = { ...secure('registry.example'), baseUrl: 'http://registry.example/v2', insecure: true }
    using client = connect([endpoint], { proxies: { http: proxy.host } })
    assert.equal(await text(client), 'plain')
    assert.deepEqual(proxy.asked, ['GET http://registry.example/v2/r/manifests/1'])
    assert.equal(registry.requests[0]?.headers.host, 'registry.example')
  })

  test('R-23 407, 502 and nobody there: the proxy is named, its password is not', async () => {
    await using proxy = await startConnectProxy({ routes: {}, credentials: 'me:right' })
    for (const [url, message] of [
      [`http://me:wrongsecret@${proxy.host}`, /proxy http:\/\/\*\*\*@127.*registry\.example.*407/],
      [`http://me:right@${proxy.host}`, /proxy .*502/],
      ['http://me:wrongsecret@127.0.0.1:1', /proxy .*refused/],
    ] as const) {
      using client = connect([secure('registry.example')], { ...trusting(), proxies: { https: url } })
      await fails(text(client), 'unavailable', message)
      await assert.rejects(text(client), (err) => !/wrongsecret|right@/.test(explain(err)))
    }
  })

  test('R-23 a proxy for plain HTTP that is not there is named, its password is not', async () => {
    const endpoint = { baseUrl: 'http://registry.example/v2', host: 'registry.example', insecure: true, isOrigin: true }
    using client = connect([endpoint], { proxies: { http: 'http://me:wrongsecret@127.0.0.1:1' } })
    const message =
      /^proxy http:\/\/\*\*\*@127\.0\.0\.1:1\/ for registry\.example: connect to 127\.0\.0\.1:1: connection refused$/
    await fails(text(client), 'unavailable', message)
  })

  test('R-23 407 for plain HTTP is the word of the proxy, not of the registry', async () => {
    await using proxy = await startConnectProxy({ routes: {}, credentials: 'me:right' })
    const endpoint = { ...secure('registry.example'), baseUrl: 'http://registry.example/v2', insecure: true }
    using client = connect([endpoint], { proxies: { http: proxy.host } })
    await fails(text(client), 'unavailable', /^the proxy for registry\.example answers 407, it wants other credentials$/)
  })

  test('R-23 loopback and exceptions are asked directly', async () => {
    await using registry = await startFaultRegistry({ identity: await authority.issue() })
    registry.addManifest('r', '1', { mediaType: 'x', body: 'near' })
    using client = connect([secure(registry.host)], { ...trusting(), proxies: { https: 'http://127.0.0.1:1' } })
    assert.equal(await text(client), 'near')
  })
})
