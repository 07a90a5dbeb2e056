import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { parseReference } from '@coracle/oci-spec/reference'
import type { RegistriesConfig } from './endpoints.ts'
import { RegistryFiles } from './files/registry-files.ts'
import { planPull } from './plan.ts'

describe('the plan of a pull', () => {
  let directory: string
  const at = (name: string) => join(directory, name)
  const write = (name: string, text: string) => {
    mkdirSync(dirname(at(name)), { recursive: true })
    writeFileSync(at(name), text)
  }
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coracle-plan-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))
  const plan = (name: string, own: RegistriesConfig = {}) => {
    const paths = {
      registriesConf: at('registries.conf'),
      hostsDirectories: [at('hosts')],
      certificateDirectories: [at('certs')],
      authFiles: [at('auth.json')],
    }
    const files = new RegistryFiles(() => paths)
    return planPull(
      { files, config: own, credentials: { programs: undefined } },
      parseReference(name),
      AbortSignal.timeout(20_000),
    )
  }
  const urls = async (name: string, own: RegistriesConfig = {}) =>
    (await plan(name, own)).endpoints.map(({ endpoint }) => `${endpoint.baseUrl}/${endpoint.repository ?? '='}`)

  test('nothing configured: the registry itself', async () => {
    assert.deepEqual(await urls('r.io/x'), ['https://r.io/v2/x'])
    assert.deepEqual(await urls('busybox'), ['https://registry-1.docker.io/v2/library/busybox'])
    assert.deepEqual(await urls('127.0.0.1:5000/x'), ['http://127.0.0.1:5000/v2/x'])
  })

  test('all three at once: own mirrors, registries.conf, hosts.toml, the registry; each place once, each with its reason', async () => {
    write(
      'registries.conf',
      '[[registry]]\nlocation = "r.io"\n[[registry.mirror]]\nlocation = "conf.io/cache"\n[[registry.mirror]]\nlocation = "own.io"',
    )
    write('hosts/r.io/hosts.toml', '[host."https://hosts.io"]\n[host."https://own.io"]')
    const { endpoints } = await plan('r.io/x', {
      mirrors: { 'r.io': ['own.io'] },
      from: { 'registries.r.io.mirrors': '/c.toml:3' },
    })
    assert.deepEqual(
      endpoints.map(({ endpoint, role, chosenBy }) => [`${endpoint.baseUrl}/${endpoint.repository ?? '='}`, role, ...chosenBy]),
      [
        ['https://own.io/v2/x', 'mirror', '/c.toml:3', `${at('registries.conf')}:5`, `${at('hosts/r.io/hosts.toml')}:2`],
        ['https://conf.io/v2/cache/x', 'mirror', `${at('registries.conf')}:3`],
        ['https://hosts.io/v2/=', 'mirror', `${at('hosts/r.io/hosts.toml')}:1`],
        ['https://r.io/v2/x', 'registry'],
      ],
    )
    assert.deepEqual(
      endpoints.map(({ endpoint }) => endpoint.isOrigin),
      [false, false, false, true],
    )
  })

  test('one tag or digest blocked', async () => {
    const digest = `sha256:${'1'.repeat(64)}`
    write(
      'registries.conf',
      `[[registry]]\nlocation = "r.io/x:bad"\nblocked = true\n[[registry]]\nlocation = "r.io/x@${digest}"\nblocked = true`,
    )
    for (const name of ['r.io/x:bad', `r.io/x@${digest}`, `r.io/x:good@${digest}`])
      await assert.rejects(plan(name), /blocked by .*registries\.conf/)
    assert.deepEqual(await urls('r.io/x:bad2'), ['https://r.io/v2/x'])
    write('registries.conf', '[[registry]]\nprefix = "r.io/x:1"\nlocation = "q.io/y"')
    assert.deepEqual(await urls('r.io/x:1'), ['https://q.io/v2/y'])
  })

  test('a host whose certificates are broken is refused; the others are not', async () => {
    write('certs/r.io/node.key', 'K')
    await assert.rejects(plan('r.io/x'), /node\.key has no certificate/)
    assert.deepEqual(await urls('q.io/x'), ['https://q.io/v2/x'])
    await assert.rejects(plan('q.io/x', { mirrors: { 'q.io': ['r.io'] } }), /node\.key has no certificate/)
  })

  test('blocked, by either file', async () => {
    await assert.rejects(
      plan('r.io/x', { blocked: ['r.io'], from: { 'registries.r.io.blocked': '/c.toml:9' } }),
      /"r\.io" is blocked.*\/c\.toml:9/,
    )
    write('registries.conf', '[[registry]]\nprefix = "r.io/bad"\nblocked = true')
    await assert.rejects(plan('r.io/bad/x'), /blocked by .*registries\.conf:1/)
    assert.deepEqual(await urls('r.io/good'), ['https://r.io/v2/good'])
  })

  test('no spelling of a host leads around what is said of it', async () => {
    for (const name of ['reg.io/x', 'REG.IO/x', 'reg.io:443/x', 'Reg.io:443/x']) {
      for (const host of ['reg.io', 'Reg.io', 'reg.io:443'])
        await assert.rejects(plan(name, { blocked: [host] }), /is blocked by the configuration/, `${name} ${host}`)
      write(
        'registries.conf',
        '[[registry]]\nprefix = "*.io"\nlocation = "m.net"\n[[registry]]\nlocation = "Reg.io"\nblocked = true',
      )
      await assert.rejects(plan(name), /blocked by .*registries\.conf:4/, name)
      rmSync(at('registries.conf'))
    }
    assert.deepEqual(await urls('reg.io:5000/x', { blocked: ['reg.io'] }), ['https://reg.io:5000/v2/x'])
  })

  test('a blocked host is asked neither as a mirror nor as the place that a registry has moved to', async () => {
    write('registries.conf', '[[registry]]\nlocation = "r.io"\n[[registry.mirror]]\nlocation = "bad.io/cache"')
    const own = { blocked: ['bad.io', 'docker.io'], from: { 'registries.bad.io.blocked': '/c.toml:9' } }
    const { endpoints, remarks } = await plan('r.io/x', own)
    assert.deepEqual(
      endpoints.map(({ endpoint }) => endpoint.host),
      ['r.io'],
    )
    assert.match(remarks.join(), /registries\.conf:3: mirror bad\.io is not asked: registry "bad\.io" is blocked .*\/c\.toml:9/)
    write('registries.conf', '[[registry]]\nprefix = "r.io"\nlocation = "bad.io"')
    await assert.rejects(plan('r.io/x', own), /"bad\.io" is blocked by the configuration \(\/c\.toml:9\)/)
    write('hosts/q.io/hosts.toml', 'server = "https://registry-1.docker.io"')
    await assert.rejects(plan('q.io/x', own), /"registry-1\.docker\.io" is blocked/)
  })

  test('a registry that moved; credentials of the request stay at home', async () => {
    write(
      'registries.conf',
      '[[registry]]\nprefix = "r.io/ns"\nlocation = "new.io/deep/er"\n[[registry]]\nprefix = "*.corp.io"\nlocation = "proxy.io"',
    )
    const { endpoints } = await plan('r.io/ns/x')
    assert.deepEqual(
      endpoints.map(({ endpoint }) => [endpoint.baseUrl, endpoint.repository, endpoint.isOrigin]),
      [['https://new.io/v2', 'deep/er/x', false]],
    )
    assert.deepEqual(await urls('r.io/other/x'), ['https://r.io/v2/other/x'])
    assert.deepEqual(await urls('a.corp.io/x'), ['https://proxy.io/v2/x'])
  })

  test("registries.conf's insecure: TLS unverified, then plain HTTP, for this pull only", async () => {
    write('registries.conf', '[[registry]]\nlocation = "r.io"\ninsecure = true')
    const found = await plan('r.io/x')
    assert.deepEqual(
      found.endpoints.map(({ endpoint }) => endpoint.baseUrl),
      ['https://r.io/v2', 'http://r.io/v2'],
    )
    assert.equal(found.tls?.['r.io']?.skipVerify, true)
    assert.deepEqual(found.endpoints[0]?.tlsFrom, ['not verified'])
    assert.equal((await plan('q.io/x')).tls?.['r.io'], undefined)
  })

  test('mirrors by digest only, by tag only', async () => {
    write(
      'registries.conf',
      '[[registry]]\nlocation = "r.io"\n[[registry.mirror]]\nlocation = "d.io"\npull-from-mirror = "digest-only"\n[[registry.mirror]]\nlocation = "t.io"\npull-from-mirror = "tag-only"',
    )
    assert.deepEqual(await urls('r.io/x'), ['https://t.io/v2/x', 'https://r.io/v2/x'])
    assert.deepEqual(await urls(`r.io/x@sha256:${'a'.repeat(64)}`), ['https://d.io/v2/x', 'https://r.io/v2/x'])
    assert.match((await plan('r.io/x')).remarks.join(), /registries\.conf:3: mirror d\.io is for references with a digest only/)
  })

  test('hosts.toml: what each may be asked, its headers, the namespace, the server', async () => {
    write(
      'hosts/docker.io/hosts.toml',
      'server = "https://registry-1.docker.io"\n[host."https://m.io"]\ncapabilities = ["pull"]\ndial_timeout = "2s"\n[host."https://m.io".header]\nX-A = "1"\n[host."https://push.io"]\ncapabilities = ["push"]',
    )
    const { endpoints } = await plan('busybox')
    assert.equal(endpoints.length, 2)
    const [mirror, server] = endpoints.map(({ endpoint }) => endpoint)
    assert.deepEqual(
      [mirror?.serves, mirror?.query, mirror?.headers, mirror?.connectTimeoutMs],
      ['digests', 'ns=docker.io', { 'x-a': '1' }, 2000],
    )
    assert.deepEqual([server?.baseUrl, server?.isOrigin, server?.query], ['https://registry-1.docker.io/v2', true, undefined])
  })

  test('hosts.toml that names another server: that, without credentials of the request', async () => {
    write('hosts/_default/hosts.toml', 'server = "https://all.io/x"')
    const { endpoints } = await plan('r.io/x')
    assert.deepEqual(
      endpoints.map(({ endpoint }) => [endpoint.baseUrl, endpoint.isOrigin, endpoint.query]),
      [['https://all.io/x/v2', false, 'ns=r.io']],
    )
  })

  test('R-20 certificates: own keys, hosts.toml, directories; of other hosts none that is missing matters', async () => {
    write('own.pem', 'OWN')
    write('hosts/r.io/hosts.toml', '[host."https://m.io"]\nca = "h.pem"\nclient = ["h.cert", "h.key"]')
    for (const name of ['h.pem', 'h.cert', 'h.key']) write(`hosts/r.io/${name}`, name)
    write('certs/m.io/ca.crt', 'DIRECTORY')
    write('certs/m.io/c.cert', 'C')
    write('certs/m.io/c.key', 'K')
    const { tls, endpoints } = await plan('r.io/x', { caFiles: { 'm.io': at('own.pem'), 'elsewhere.io': '/nonexistent' } })
    assert.deepEqual(tls?.['m.io'], { authorities: ['OWN', 'h.pem', 'DIRECTORY'], certificate: 'h.cert', key: 'h.key' })
    assert.equal(tls?.['elsewhere.io'], undefined)
    assert.deepEqual(
      endpoints[0]?.tlsFrom.map((path) => path.replace(directory, '')),
      ['/own.pem', '/hosts/r.io/h.pem', '/hosts/r.io/h.cert', '/certs/m.io/c.cert', '/certs/m.io/c.key', '/certs/m.io/ca.crt'],
    )
    await assert.rejects(plan('r.io/x', { caFiles: { 'r.io': '/nonexistent' } }), /\/nonexistent does not exist/)
  })

  test("Docker Hub's certificates are found under its name and under that of the host that serves it", async () => {
    for (const name of ['own.pem', 'n.cert', 'n.key']) write(name, name)
    for (const host of ['docker.io', 'registry-1.docker.io']) {
      rmSync(at('certs'), { recursive: true, force: true })
      write(`certs/${host}/ca.crt`, 'DIRECTORY')
      const { tls, endpoints } = await plan('busybox', {
        caFiles: { [host]: at('own.pem') },
        clientCertificates: { [host]: { certificateFile: at('n.cert'), keyFile: at('n.key') } },
        skipVerify: [host],
      })
      assert.deepEqual(tls?.['registry-1.docker.io'], {
        authorities: ['own.pem', 'DIRECTORY'],
        certificate: 'n.cert',
        key: 'n.key',
        skipVerify: true,
      })
      assert.deepEqual(endpoints[0]?.tlsFrom, ['not verified', at('own.pem'), at('n.cert'), at(`certs/${host}/ca.crt`)])
    }
  })

  test('credentials by the host that is asked, never by the one in the name', async () => {
    write('registries.conf', '[[registry]]\nlocation = "r.io"\n[[registry.mirror]]\nlocation = "m.io/cache"')
    write(
      'auth.json',
      JSON.stringify({ auths: { 'm.io/cache': { username: 'm', password: 'p' }, 'r.io': { username: 'r', password: 'p' } } }),
    )
    const { endpoints } = await plan('r.io/x')
    assert.deepEqual(
      endpoints.map(({ endpoint, credentialsFrom }) => [endpoint.host, endpoint.credentials?.username, credentialsFrom]),
      [
        ['m.io', 'm', `${at('auth.json')} auths "m.io/cache"`],
        ['r.io', 'r', `${at('auth.json')} auths "r.io"`],
      ],
    )
  })

  test('the usual port, written or not, makes no other registry', async () => {
    write(
      'auth.json',
      JSON.stringify({
        auths: { 'r.io:443': { username: 'with', password: 'p' }, 'r.io': { username: 'without', password: 'p' } },
      }),
    )
    write('certs/r.io:443/ca.crt', 'CA')
    for (const [directory, server] of [
      ['r.io_443_', 'https://r.io:443'],
      ['r.io_443_', 'https://r.io'],
      ['r.io', 'https://r.io:443'],
    ] as const) {
      write(`hosts/${directory}/hosts.toml`, `server = "${server}"\nca = "own.pem"`)
      write(`hosts/${directory}/own.pem`, 'OWN')
      const name = directory === 'r.io' ? 'r.io' : 'r.io:443'
      const { endpoints, tls } = await plan(`${name}/x`)
      const [only] = endpoints
      assert.deepEqual(
        [endpoints.length, only?.endpoint.isOrigin, only?.endpoint.query, only?.endpoint.credentials?.username],
        [1, true, undefined, name === 'r.io' ? 'without' : 'with'],
      )
      assert.deepEqual(tls?.[name]?.authorities, name === 'r.io' ? ['OWN'] : ['OWN', 'CA'])
    }
  })

  test('proxies are told, masked', async () => {
    const proxies = { https: 'http://u:geheim@p:1', except: ['direct.io'] }
    assert.equal((await plan('r.io/x', { proxies })).endpoints[0]?.proxy, 'http://***@p:1/')
    assert.equal((await plan('direct.io/x', { proxies })).endpoints[0]?.proxy, undefined)
  })

  test('CVE-2026-92543: whether a host may speak plain HTTP is told by its name as written, never by DNS', async () => {
    for (const name of ['localhost.evil.io/x', '127.0.0.1.nip.io/x', '0177.0.0.1/x', '[::2]/x', 'localhost.:5000/x'])
      for (const url of await urls(name).catch(() => [])) assert.match(url, /^https:/, name)
    assert.deepEqual(await urls('r.io:5000/x', { insecureHosts: ['r.io:5000'] }), ['http://r.io:5000/v2/x'])
    assert.deepEqual(await urls('r.io/x', { insecureHosts: ['r.io:5000'] }), ['https://r.io/v2/x'])
  })
})
