import assert from 'node:assert/strict'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { explain } from '@coracle/base/errors'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import type { Credentials } from '../images.ts'
import { createRegistryClient, type RegistryClient } from './client.ts'
import type { Endpoint } from './endpoints.ts'
import { RegistryError, type RegistryFailure } from './errors.ts'
import { readBody } from './http.ts'
import { retryAfterMs } from './retry.ts'
import { TokenCache } from './token-cache.ts'

const stallMs = 300

describe('registry client', () => {
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
  const text = async (client: RegistryClient, path = 'manifests/1') => {
    const { response, endpoint } = await client.get({ path, signal })
    return (await readBody(response, { host: endpoint.host, maxBytes: 1000, stallMs })).toString()
  }
  const fails = (work: Promise<unknown>, failure: RegistryFailure, message?: RegExp) =>
    assert.rejects(work, (err) => {
      assert.ok(err instanceof RegistryError, explain(err))
      assert.equal(err.failure, failure, explain(err))
      if (message) assert.match(err.message, message)
      return true
    })
  /** Answers the nth request of a kind by itself. */
  const once1 = (match: RegExp, answer: Parameters<FaultRegistry['fault']>[0]) => {
    let done = false
    registry.fault((request, response) => {
      if (done || !match.test(request.url ?? '')) return false
      done = true
      return answer(request, response)
    })
  }

  test('R-01 a redirect to another host is followed without Authorization', async () => {
    await using other = await startFaultRegistry()
    other.fault((_request, response) => {
      response.end('there')
      return true
    })
    registry.fault((_request, response) => {
      response.writeHead(307, { location: `${other.url}/elsewhere?signature=s3cret` }).end()
      return true
    })
    assert.equal(await text(connect({ registryToken: 'tokentoken' })), 'there')
    assert.equal(registry.requests[0]?.headers.authorization, 'Bearer tokentoken')
    assert.equal(other.requests[0]?.headers.authorization, undefined)
  })

  test('R-01 a refusal after a redirect names the host that refuses, and the one that led there', async () => {
    await using other = await startFaultRegistry()
    other.fault((_request, response) => {
      response.writeHead(403).end('AccessDenied')
      return true
    })
    registry.fault((_request, response) => {
      response.writeHead(307, { location: `${other.url}/elsewhere?signature=s3cret` }).end()
      return true
    })
    const message = new RegExp(`^${other.host}, where ${registry.host} sent us, answers 403: AccessDenied$`)
    await fails(text(connect()), 'denied', message)
  })

  test('R-02 loops and redirects to other places are refused', async () => {
    for (const location of [
      '/again',
      'file:///etc/passwd',
      'unix:///run/x',
      'http://169.254.169.254/latest',
      'http://[fe80::1]/',
      'http://user:pw@host/',
    ]) {
      const remove = registry.fault((_request, response) => {
        response.writeHead(302, { location }).end()
        return true
      })
      await fails(text(connect()), 'protocol', /redirect/)
      remove()
    }
  })

  test('R-04 a Bearer challenge is answered with a token, cached for the repository', async () => {
    const seen: string[] = []
    registry.fault((request, response) => {
      if (request.url?.startsWith('/token')) {
        seen.push(`${request.method} ${request.url} ${request.headers.authorization}`)
        response.end(JSON.stringify({ access_token: 'thetoken' }))
        return true
      }
      if (request.headers.authorization === 'Bearer thetoken') {
        response.end('yes')
        return true
      }
      response.writeHead(401, {
        'www-authenticate': `Basic realm="a, b", Bearer realm="${registry.url}/token",service="svc",scope="repository:r:pull,push"`,
      })
      response.end()
      return true
    })
    const client = connect({ username: 'u', password: 'secretpw' })
    assert.equal(await text(client), 'yes')
    assert.equal(await text(client), 'yes')
    const basic = Buffer.from('u:secretpw').toString('base64')
    assert.deepEqual(seen, [`GET /token?service=svc&scope=repository%3Ar%3Apull%2Cpush&account=u Basic ${basic}`])
  })

  test('headers configured for a host go to its own token service too, as some want them there, and to no other', async () => {
    await using other = await startFaultRegistry()
    for (const service of [registry, other]) {
      service.requests.length = 0
      const removes = [registry, other].map((one) =>
        one.fault((request, response) => {
          if (request.url?.startsWith('/token')) response.end('{"token":"given"}')
          else if (request.headers.authorization === 'Bearer given') response.end('yes')
          else response.writeHead(401, { 'www-authenticate': `Bearer realm="${service.url}/token"` }).end()
          return true
        }),
      )
      const endpoint = endpointOf(registry.host, { headers: { 'x-key': 'geheim', authorization: 'Basic own' } })
      assert.equal(await text(connect(undefined, [endpoint])), 'yes')
      const asked = service.requests.find(({ url }) => url.startsWith('/token'))
      const expected = service === registry ? ['geheim', 'Basic own'] : [undefined, undefined]
      assert.deepEqual([asked?.headers['x-key'], asked?.headers.authorization], expected)
      for (const remove of removes) remove()
    }
  })

  test('R-04 an identity token is exchanged by POST, by GET where POST is unknown', async () => {
    for (const postStatus of [200, 405]) {
      const remove = registry.fault((request, response) => {
        if (request.url?.startsWith('/token')) {
          const isPost = request.method === 'POST'
          response.writeHead(isPost ? postStatus : 200)
          response.end(JSON.stringify({ token: isPost ? 'posted' : 'gotten' }))
        } else if (request.headers.authorization?.startsWith('Bearer ')) response.end(request.headers.authorization)
        else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
        return true
      })
      registry.requests.length = 0
      assert.equal(await text(connect({ identityToken: 'refresh!' })), postStatus === 200 ? 'Bearer posted' : 'Bearer gotten')
      assert.match(
        registry.requests[1]?.body ?? '',
        /grant_type=refresh_token.*scope=repository%3Ar%3Apull&refresh_token=refresh%21/,
      )
      remove()
    }
  })

  test('R-05 a registry that never has enough is asked twice', async () => {
    registry.fault((request, response) => {
      if (request.url?.startsWith('/token')) response.end('{"token":"t0ken"}')
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })
    await fails(text(connect()), 'unauthorized')
    assert.equal(registry.requests.length, 3)
    await fails(text(connect({ registryToken: 'wrongwrong' })), 'unauthorized')
  })

  test('CVE-2019-10214: a token service in plain text is not asked for a registry that speaks TLS', async () => {
    await using secure = await startFaultRegistry({ tls: true })
    secure.fault((_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })
    const client = createRegistryClient({
      endpoints: [endpointOf(secure.host, { baseUrl: `${secure.url}/v2`, insecure: false })],
      repository: 'r',
      registries: {},
      stallTimeoutMs: stallMs,
      retryBaseMs: 5,
      credentials: { username: 'u', password: 'secretpw' },
      tls: { '*': { authorities: [secure.authority ?? ''] } },
    })
    clients.push(client)
    await fails(text(client), 'protocol', /plain HTTP/)
    assert.equal(registry.requests.length, 0)
  })

  test('R-20 CVE-2025-6032: an unknown authority is a TLS error, whatever the environment says', async () => {
    await using secure = await startFaultRegistry({ tls: true })
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      const client = connect(undefined, [endpointOf(secure.host, { baseUrl: `${secure.url}/v2`, insecure: false })])
      await fails(text(client), 'tls')
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    }
  })

  test('R-06 final refusals are not repeated; a mirror is passed over and named', async () => {
    for (const [status, failure] of [
      [403, 'denied'],
      [404, 'not_found'],
      [405, 'protocol'],
      [410, 'not_found'],
    ] as const) {
      registry.requests.length = 0
      const remove = registry.fault((_request, response) => {
        response.writeHead(status).end('{"errors":[{"code":"NO","message":"because"}]}')
        return true
      })
      await fails(text(connect()), failure, /NO because/)
      assert.equal(registry.requests.length, 1)
      remove()
    }
    await using mirror = await startFaultRegistry()
    const client = connect({ username: 'u', password: 'secretpw', registryToken: 'tokentoken' }, [
      endpointOf(mirror.host, { isOrigin: false }),
      endpointOf(registry.host),
    ])
    await fails(text(client), 'not_found', new RegExp(`${mirror.host}.*${registry.host}`))
    assert.equal(mirror.requests[0]?.headers.authorization, undefined)
  })

  test('R-07 429 is waited for, absurd Retry-After capped', async () => {
    let times = 0
    registry.fault((_request, response) => {
      if (++times <= 4) response.writeHead(429, { 'retry-after': '0' }).end()
      else response.end('now')
      return true
    })
    assert.equal(await text(connect()), 'now')
    times = -10
    await fails(text(connect()), 'rate_limited')
    assert.equal(retryAfterMs('1000000000'), 60_000)
    assert.equal(retryAfterMs('-5'), undefined)
    assert.equal(retryAfterMs('soon'), undefined)
    const inTen = retryAfterMs(new Date(Date.now() + 10_000).toUTCString()) ?? 0
    assert.ok(inTen > 8000 && inTen <= 10_000)
  })

  test('R-07 R-08 a token service that is busy or fails is asked again', async () => {
    let times = 0
    registry.fault((request, response) => {
      if (request.url?.startsWith('/token')) {
        const status = [429, 503][times++] ?? 200
        response.writeHead(status, { 'retry-after': '0' }).end('{"token":"t0ken","details":"too busy"}')
      } else if (request.headers.authorization === 'Bearer t0ken') response.end('yes')
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })
    assert.equal(await text(connect()), 'yes')
    times = 0
    registry.fault((request, response) => {
      if (!request.url?.startsWith('/token')) return false
      times++
      response.writeHead(503).end('{"details":"too busy"}')
      return true
    })
    await fails(text(connect()), 'unavailable', /token service 127\.0\.0\.1:\d+ answers 503: too busy$/)
    assert.equal(times, 3)
  })

  test('a token that is still good is handed on to the workers', async () => {
    registry.fault((request, response) => {
      if (request.url?.startsWith('/token')) response.end('{"token":"t0ken","expires_in":300}')
      else if (request.headers.authorization === 'Bearer t0ken') response.end('yes')
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })
    const tokens = new TokenCache()
    const again = () => {
      const source = {
        endpoints: [endpointOf(registry.host)],
        repository: 'r',
        registries: {},
        stallTimeoutMs: stallMs,
        retryBaseMs: 5,
      }
      const client = createRegistryClient(source, { tokens })
      clients.push(client)
      return client
    }
    await text(again())
    const second = again()
    await text(second)
    assert.deepEqual(Object.values(second.handOn().authorizations ?? {}), ['Bearer t0ken'])
    assert.equal(registry.requests.filter(({ url }) => url.startsWith('/token')).length, 1)
  })

  test('R-08 server errors are tried again, a few times', async () => {
    once1(/./, (_request, response) => {
      response.writeHead(503).end()
      return true
    })
    once1(/./, (request) => {
      request.socket.destroy()
      return true
    })
    registry.addManifest('r', '1', { mediaType: 'x', body: 'fine' })
    assert.equal(await text(connect()), 'fine')
    registry.fault((_request, response) => {
      response.writeHead(502).end()
      return true
    })
    await fails(text(connect()), 'unavailable', /502/)
  })

  test('nobody there: unavailable at once, names host and reason', async () => {
    await registry[Symbol.asyncDispose]()
    await fails(text(connect()), 'unavailable', /127\.0\.0\.1:\d+: connection refused/)
    await fails(text(connect(undefined, [endpointOf('no-such-host.invalid')])), 'dns', /no-such-host\.invalid/)
    registry = await startFaultRegistry()
  })

  test('R-25 secrets that come back are not shown', async () => {
    registry.fault((request, response) => {
      response.writeHead(403).end(`you sent ${request.headers.authorization} and secretpw\n\x1b[31m${'long '.repeat(100)}`)
      return true
    })
    await assert.rejects(text(connect({ registryToken: 'tokentoken', password: 'secretpw', username: 'u' })), (err) => {
      const all = explain(err)
      assert.doesNotMatch(all, /tokentoken|secretpw|\x1b|\n/)
      return all.length < 400
    })
  })

  test('failures leave no connection behind', async () => {
    registry.fault((_request, response) => {
      response.writeHead(404).end('x'.repeat(100_000))
      return true
    })
    const client = connect()
    for (let i = 0; i < 50; i++) await assert.rejects(text(client))
    assert.ok(registry.connections.size <= 2, `${registry.connections.size} connections`)
    client.close()
    const [socket] = registry.connections
    if (socket && !socket.destroyed) await once(socket, 'close')
    assert.equal(registry.connections.size, 0)
  })
})
