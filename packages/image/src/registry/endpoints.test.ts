import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseChallenges } from './challenge.ts'
import { endpointsAt, mirrorAt, type RegistriesConfig } from './endpoints.ts'
import { isLoopback } from './loopback.ts'

const none = { secureHosts: new Set<string>(), registry: 'r.io' }
const urls = (name: string, config: RegistriesConfig = {}) => endpointsAt(name, { ...none, config }).map(({ baseUrl }) => baseUrl)

describe('endpoints', () => {
  test('plain HTTP for loopback literals and configured hosts only', () => {
    for (const host of ['127.0.0.1', '127.9.8.7:5000', 'localhost', 'localhost:1', '[::1]:5000', 'LOCALHOST'])
      assert.ok(isLoopback(host), host)
    for (const host of ['128.0.0.1', 'localhost.evil.io', '127.0.0.1.evil.io', '[::2]', 'x127.0.0.1'])
      assert.ok(!isLoopback(host), host)
    assert.deepEqual(urls('r.io:5000'), ['https://r.io:5000/v2'])
    assert.deepEqual(urls('r.io:5000', { insecureHosts: ['r.io:5000'] }), ['http://r.io:5000/v2'])
    assert.deepEqual(urls('r.io', { insecureHosts: ['r.io:5000'] }), ['https://r.io/v2'])
  })

  test('docker.io has its own host', () => assert.deepEqual(urls('docker.io'), ['https://registry-1.docker.io/v2']))

  test('loopback with a certificate of its own speaks TLS', () => {
    assert.deepEqual(urls('127.0.0.1:1', { caFiles: { '127.0.0.1:1': '/ca' } }), ['https://127.0.0.1:1/v2'])
    const secureHosts = new Set(['localhost:2'])
    assert.deepEqual(
      endpointsAt('localhost:2/x', { ...none, secureHosts, config: {} }).map(({ baseUrl }) => baseUrl),
      ['https://localhost:2/v2'],
    )
  })

  test("registries.conf's insecure is TLS unverified, then none", () => {
    const [first, second] = endpointsAt('r.io/x/y', { ...none, config: {}, insecure: true })
    assert.deepEqual([first?.baseUrl, first?.skipsVerify, first?.repository], ['https://r.io/v2', true, 'x/y'])
    assert.deepEqual([second?.baseUrl, second?.isPlainTwin], ['http://r.io/v2', true])
    const both = (config: RegistriesConfig) =>
      endpointsAt('localhost:1/x', { ...none, config, insecure: true }).map(({ baseUrl }) => baseUrl)
    assert.deepEqual(both({}), ['https://localhost:1/v2', 'http://localhost:1/v2'])
    assert.deepEqual(both({ insecureHosts: ['localhost:1'] }), ['http://localhost:1/v2'])
  })

  test('mirrors by host or URL, with their prefix', () => {
    const mirrors = ['m.io', 'm.io:5000/cache', 'http://plain.io/', 'https://x.io/v2/proxy', '127.0.0.1:1']
    assert.deepEqual(
      mirrors.map((mirror) => mirrorAt(mirror, { ...none, config: {} }).baseUrl),
      ['https://m.io/v2', 'https://m.io:5000/v2/cache', 'http://plain.io/v2', 'https://x.io/v2/proxy', 'http://127.0.0.1:1/v2'],
    )
    for (const bad of ['http://u:p@m.io', 'm.io/?x', 'bad host'])
      assert.throws(() => mirrorAt(bad, { ...none, config: {} }), /mirror/)
  })
})

describe('challenges', () => {
  const parse = (header: string) =>
    parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
  test('one, several, quoted commas, escapes, nonsense', () => {
    assert.deepEqual(parse('Basic realm="x"'), [['basic', { realm: 'x' }]])
    assert.deepEqual(parse('Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a:pull,push", Basic realm="b\\"q"'), [
      ['bearer', { realm: 'https://a/t?x=1,2', service: 's', scope: 'repository:a:pull,push' }],
      ['basic', { realm: 'b"q' }],
    ])
    assert.deepEqual(parse('Negotiate, BEARER Realm=unquoted'), [
      ['negotiate', {}],
      ['bearer', { realm: 'unquoted' }],
    ])
    assert.deepEqual(parse(''), [])
    assert.deepEqual(parse('"""'), [])
    parse(`Bearer ${'x="'.repeat(100_000)}`)
  })
})
