import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { createHost } from '@coracle/host'
import { type FaultRegistry, startFaultRegistry } from '@coracle/testkit/fault-registry'
import type { RegistriesConfig } from './endpoints.ts'
import { type ExplainRequest, explainPull } from './explain.ts'
import { Registries } from './registries.ts'

describe('explainPull()', () => {
  let directory: string
  let registry: FaultRegistry
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'coracle-explain-'))
    registry = await startFaultRegistry()
  })
  afterEach(async () => {
    rmSync(directory, { recursive: true })
    await registry[Symbol.asyncDispose]()
  })
  const at = (name: string) => join(directory, name)
  const write = (name: string, text: string) => {
    mkdirSync(dirname(at(name)), { recursive: true })
    writeFileSync(at(name), text)
  }
  const explained = (name: string, more: Partial<ExplainRequest> = {}, own: RegistriesConfig = {}) => {
    const files = { registriesConf: at('registries.conf'), hostsDirectories: [at('hosts')], authFiles: [at('auth.json')] }
    const config = { ...own, files }
    const { processes } = createHost()
    const registries = new Registries({ config: () => config, processes, stallTimeoutMs: 15_000, retryBaseMs: 2 })
    return explainPull(registries, { name, offline: false, ...more }, AbortSignal.timeout(60_000))
  }
  const wantsPassword = () =>
    registry.fault((request, response) => {
      const basic = `Basic ${Buffer.from('user:geheim').toString('base64')}`
      if (request.url?.startsWith('/token')) {
        if (request.headers.authorization === basic) response.end('{"token":"gegeben"}')
        else response.writeHead(401).end()
        return true
      }
      if (request.headers.authorization === 'Bearer gegeben') return false
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token"` }).end()
      return true
    })

  test('every endpoint: what chose it, whose credentials, what it says, how long it took; nothing secret', async () => {
    const { manifest } = registry.addImage('ns/app', '1', [{ tar: Buffer.alloc(1024) }])
    wantsPassword()
    await using empty = await startFaultRegistry()
    write(
      'registries.conf',
      `[[registry]]\nlocation = "${registry.host}"\n[[registry.mirror]]\nlocation = "127.0.0.1:1"\n[[registry.mirror]]\nlocation = "${empty.host}"`,
    )
    write('auth.json', JSON.stringify({ auths: { [registry.host]: { username: 'user', password: 'geheim' } } }))
    const [only, ...others] = await explained(`${registry.host}/ns/app:1`)
    assert.equal(others.length, 0)
    const [dead, without, origin] = only?.endpoints ?? []
    assert.deepEqual([dead?.verdict, dead?.role, dead?.chosenBy], ['failed', 'mirror', [`${at('registries.conf')}:3`]])
    assert.match(dead?.reason ?? '', /connect to 127\.0\.0\.1:1: connection refused/)
    assert.deepEqual([without?.verdict, without?.credentials], ['failed', undefined])
    assert.match(without?.reason ?? '', /^404: does not have it/)
    assert.deepEqual(
      [origin?.verdict, origin?.role, origin?.digest, origin?.credentials],
      ['used', 'registry', manifest, `${at('auth.json')} auths "${registry.host}"`],
    )
    assert.deepEqual(
      origin?.exchanges.map(({ method, what, status }) => [method, what, status]),
      [
        ['HEAD', 'manifests/1', 401],
        ['GET', `token service ${registry.host}`, 200],
        ['HEAD', 'manifests/1', 200],
      ],
    )
    assert.ok(origin?.exchanges.every(({ ms }) => ms > 0))
    assert.equal(only?.digest, manifest)
    assert.doesNotMatch(JSON.stringify(only), /geheim|gegeben|Basic/)
    assert.equal(registry.requests.filter(({ url }) => url.includes('/blobs/')).length, 0)
  })

  test('credentials of the request, right and wrong', async () => {
    registry.addImage('app', '1', [{ tar: Buffer.alloc(1024) }])
    wantsPassword()
    const ask = async (password: string) =>
      (await explained(`${registry.host}/app:1`, { credentials: { username: 'user', password } }))[0]?.endpoints[0]
    const [right, wrong] = [await ask('geheim'), await ask('falsch')]
    assert.deepEqual([right?.verdict, right?.credentials], ['used', 'the request'])
    assert.equal(wrong?.verdict, 'failed')
    assert.match(wrong?.reason ?? '', /token service .* answers 401/)
  })

  test('R-14 a registry without HEAD, or with one that says nothing, is asked by GET', async () => {
    const { manifest } = registry.addImage('app', '1', [{ tar: Buffer.alloc(1024) }])
    for (const status of [405, 400, 200]) {
      const remove = registry.fault((request, response) => {
        if (request.method !== 'HEAD') return false
        response.writeHead(status).end()
        return true
      })
      const [endpoint] = (await explained(`${registry.host}/app:1`))[0]?.endpoints ?? []
      assert.deepEqual([endpoint?.verdict, endpoint?.digest], ['used', manifest], String(status))
      assert.deepEqual(
        endpoint?.exchanges.map(({ method }) => method),
        ['HEAD', 'GET'],
      )
      remove()
    }
  })

  test('R-24 M-06 what is no manifest is not what a pull would use: the page of a portal, schema 1', async () => {
    for (const [type, reason] of [
      ['text/html; charset=utf-8', /answers with "text\/html; charset=utf-8", not with a manifest/],
      ['application/vnd.docker.distribution.manifest.v1+prettyjws', /manifest schema 1, which is not supported/],
    ] as const) {
      const remove = registry.fault((_request, response) => {
        response.writeHead(200, { 'content-type': type }).end('<html>')
        return true
      })
      const [endpoint] = (await explained(`${registry.host}/app:1`))[0]?.endpoints ?? []
      assert.equal(endpoint?.verdict, 'failed')
      assert.match(endpoint?.reason ?? '', reason)
      remove()
    }
  })

  test('one that serves digests only is asked once another knew the digest; a second that has it is a reserve', async () => {
    const { manifest } = registry.addImage('app', '1', [{ tar: Buffer.alloc(1024) }])
    const url = registry.url
    write(`hosts/r.io/hosts.toml`, `server = "${url}"\n[host."${url}/digests"]\ncapabilities = ["pull"]\n[host."${url}/none"]`)
    registry.fault((request, response) => {
      if (!request.url?.startsWith('/digests/')) return false
      response.writeHead(request.url.includes(manifest) ? 200 : 500, { 'docker-content-digest': manifest }).end()
      return true
    })
    const [found] = await explained('r.io/app:1')
    assert.deepEqual(
      found?.endpoints.map(({ verdict, serves }) => [verdict, serves]),
      [
        ['used', 'digests'],
        ['failed', 'tags and digests'],
        ['used', 'tags and digests'],
      ],
    )
    assert.ok(registry.requests.some(({ url: asked }) => asked.endsWith('?ns=r.io')))
    await using second = await startFaultRegistry()
    second.addImage('app', '1', [{ tar: Buffer.alloc(1024) }])
    write('hosts/q.io/hosts.toml', `server = "${second.url}"\n[host."${url}"]`)
    const [twice] = await explained('q.io/app:1')
    assert.deepEqual(
      twice?.endpoints.map(({ verdict }) => verdict),
      ['used', 'reserve'],
    )
  })

  test('offline nobody is asked', async () => {
    const [found] = await explained(`${registry.host}/app:1`, { offline: true })
    assert.deepEqual(
      found?.endpoints.map(({ verdict, reason }) => [verdict, reason]),
      [['not asked', 'offline']],
    )
    assert.equal(registry.requests.length, 0)
  })

  test('blocked and broken are answers; aliases and search lists are told', async () => {
    write(
      'registries.conf',
      'unqualified-search-registries = ["a.invalid", "b.invalid"]\n[[registry]]\nlocation = "a.invalid"\nblocked = true',
    )
    const found = await explained('app:1', { offline: true })
    assert.deepEqual(
      found.map(({ reference, chosenBy }) => [reference, chosenBy]),
      [
        ['a.invalid/app:1', `${at('registries.conf')}:1`],
        ['b.invalid/app:1', `${at('registries.conf')}:1`],
      ],
    )
    assert.match(found[0]?.error ?? '', /blocked by .*registries\.conf:2/)
    write('hosts/b.invalid/hosts.toml', 'server = 1')
    assert.match((await explained('b.invalid/x'))[0]?.error ?? '', /hosts\.toml:1: server has the wrong type/)
    await assert.rejects(explained('UPPER CASE'), /image reference/)
  })
})
