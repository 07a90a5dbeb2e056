import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { hostDirectories, parseHostsToml } from './hosts-toml.ts'

const file = '/etc/certs.d/docker.io/hosts.toml'
const parse = (text: string) => parseHostsToml(file, text, 'https://registry-1.docker.io')

describe('hosts.toml', () => {
  test('all keys, in the order of the file', () => {
    const { hosts, server, warnings } = parse(`server = "https://up.io"
capabilities = ["pull", "resolve"]
ca = "ca.pem"

[host."https://m1.io"]
  capabilities = ["pull", "resolve", "push"]
  ca = ["a.pem", "/abs/b.pem"]
  client = [["c.cert", "c.key"], ["d.pem", ""]]
  dial_timeout = "1m30s"
  [host."https://m1.io".header]
    X-One = "1"
    X-Two = ["a", "b"]

[host."http://m2.io:5000/proxy"]
  capabilities = ["pull"]

[host."https://m3.io/v2/hub"]
  capabilities = ["resolve"]
  override_path = true
  skip_verify = true
  client = "both.pem"

[host."m4.io"]
  capabilities = ["push"]
`)
    assert.deepEqual(
      hosts.map(({ baseUrl, host, serves, from }) => [baseUrl, host, serves, from]),
      [
        ['https://m1.io/v2', 'm1.io', 'both', `${file}:5`],
        ['http://m2.io:5000/proxy/v2', 'm2.io:5000', 'digests', `${file}:14`],
        ['https://m3.io/v2/hub', 'm3.io', 'tags', `${file}:17`],
        ['https://m4.io/v2', 'm4.io', 'nothing', `${file}:23`],
      ],
    )
    const [first, , third] = hosts
    assert.deepEqual(first?.authorities, ['/etc/certs.d/docker.io/a.pem', '/abs/b.pem'])
    assert.deepEqual(first?.certificate, {
      certificateFile: '/etc/certs.d/docker.io/c.cert',
      keyFile: '/etc/certs.d/docker.io/c.key',
    })
    assert.deepEqual(first?.headers, { 'x-one': '1', 'x-two': 'a, b' })
    assert.equal(first?.connectTimeoutMs, 90_000)
    assert.equal(third?.skipVerify, true)
    assert.equal(third?.certificate?.keyFile, '/etc/certs.d/docker.io/both.pem')
    assert.deepEqual([server.baseUrl, server.isNamed, server.authorities.length], ['https://up.io/v2', true, 1])
    assert.deepEqual(warnings, [])
  })

  test('without a server it is the registry itself', () => {
    const { server, hosts } = parse('')
    assert.deepEqual([server.baseUrl, server.isNamed, hosts.length], ['https://registry-1.docker.io/v2', false, 0])
  })

  test('docker.io is where its registry is, and gets its credentials', () => {
    for (const server of ['https://docker.io', 'docker.io', 'https://index.docker.io/v2/'])
      assert.equal(parse(`server = "${server}"`).server.baseUrl, 'https://registry-1.docker.io/v2', server)
    assert.equal(parse('[host."https://docker.io"]').hosts[0]?.host, 'registry-1.docker.io')
  })

  test('as containerd reads them: capabilities in any case, an empty server is none', () => {
    const { hosts, server } = parse('server = ""\n[host."https://m.io"]\ncapabilities = ["Pull", "RESOLVE"]')
    assert.equal(hosts[0]?.serves, 'both')
    assert.deepEqual([server.baseUrl, server.isNamed], ['https://registry-1.docker.io/v2', false])
  })

  test('override_path leaves the path as it is', () => {
    assert.equal(parse('[host."https://h/api/x"]\noverride_path = true').hosts[0]?.baseUrl, 'https://h/api/x')
  })

  for (const [text, message] of [
    ['server = 1', /hosts\.toml:1: server has the wrong type/],
    ['server = "ftp://x"', /hosts\.toml:1: server is "ftp:\/\/x": expected an http/],
    ['\n[host."https://u:geheim@m.io"]', /hosts\.toml:2: .*credentials in its URL/],
    ['[host."https://m"]\n\ncapabilities = ["fetch"]', /hosts\.toml:3: host\."https:\/\/m"\.capabilities has "fetch"/],
    ['[host."https://m"]\nskip_verify = "yes"', /hosts\.toml:2: .*skip_verify/],
    ['[host."https://m"]\nclient = [["a", "b", "c"]]', /hosts\.toml:2: .*client/],
    ['[host."https://m"]\ndial_timeout = "soon"', /hosts\.toml:2: .*dial_timeout is "soon": expected a duration/],
    ['[host."https://m".header]\n"a b" = "c"', /hosts\.toml:2: .*header/],
    ['[host."https://m".header]\nx = "geheim\\r\\ny: z"', /hosts\.toml:2: .*value not shown/],
    ['[host."https://m"', /hosts\.toml:1: /],
  ] as const)
    test(`refused: ${JSON.stringify(text).slice(0, 60)}`, () =>
      assert.throws(
        () => parse(text),
        (err) => err instanceof Error && message.test(err.message) && !/u:geheim|geheim\r/.test(err.message),
      ))

  test('directories as containerd looks for them', () => {
    assert.deepEqual(hostDirectories('r.io:5000'), ['r.io_5000_', 'r.io:5000', '_default'])
    assert.deepEqual(hostDirectories('docker.io'), ['docker.io', '_default'])
  })
})
