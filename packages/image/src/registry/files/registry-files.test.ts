import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { readPair } from './certs.ts'
import { RegistryFiles } from './registry-files.ts'

describe('registry files', () => {
  let directory: string
  let files: RegistryFiles
  const at = (name: string) => join(directory, name)
  let serial = 0
  const write = (name: string, text: string) => {
    mkdirSync(dirname(at(name)), { recursive: true })
    // Sizes differ, so that a change within one tick of the clock is seen as well.
    writeFileSync(at(name), `${text}${'\n'.repeat(++serial)}`)
  }
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coracle-registries-'))
    files = new RegistryFiles(() => ({
      registriesConf: at('registries.conf'),
      registriesConfDirectory: at('registries.conf.d'),
      hostsDirectories: [at('hosts')],
      certificateDirectories: [at('certs')],
      authFiles: [at('auth.json')],
    }))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  test('none of them is there', () => {
    assert.deepEqual(files.registriesConf().value.registries, [])
    assert.equal(files.hostsToml('r.io', 'https://r.io').value, undefined)
    assert.deepEqual(files.certificates().value, [])
    assert.equal(files.authFiles()[0]?.value, undefined)
    assert.deepEqual(files.check(), [])
  })

  test('a change is seen, a drop-in too; a broken version leaves the last good one in force and is told', () => {
    write('registries.conf', 'unqualified-search-registries = ["a.io"]')
    assert.deepEqual(files.registriesConf().value.search?.value, ['a.io'])
    write('registries.conf.d/50.conf', 'unqualified-search-registries = ["b.io"]')
    assert.deepEqual(files.registriesConf().value.search?.value, ['b.io'])
    write('registries.conf.d/50.conf', '\nunqualified-search-registries = 7')
    const { value, problem } = files.registriesConf()
    assert.deepEqual(value.search?.value, ['b.io'])
    assert.match(problem ?? '', /50\.conf:2: unqualified-search-registries has the wrong type/)
    assert.equal(files.check().length, 1)
    rmSync(at('registries.conf.d/50.conf'))
    assert.deepEqual(files.registriesConf().value.search?.value, ['a.io'])
    assert.equal(files.registriesConf().problem, undefined)
  })

  test('broken from the beginning: each use says file and line, and works once it is mended', () => {
    write('registries.conf', '[[registry]]\nblocked = true')
    assert.throws(() => files.registriesConf(), /registries\.conf:1: registry\.location is missing/)
    assert.equal(files.check().length, 1)
    write('registries.conf', '[[registry]]\nlocation = "a.io"\nblocked = true')
    assert.equal(files.registriesConf().value.registries.length, 1)
  })

  test('hosts.toml by host, by host and port, by default', () => {
    write('hosts/_default/hosts.toml', '[host."https://default.io"]')
    write('hosts/r.io_5000_/hosts.toml', '[host."https://ported.io"]')
    const first = (registry: string) => files.hostsToml(registry, `https://${registry}`).value?.hosts[0]?.host
    assert.deepEqual([first('r.io:5000'), first('r.io')], ['ported.io', 'default.io'])
    write('hosts/r.io/hosts.toml', '[host."https://own.io"]')
    assert.equal(first('r.io'), 'own.io')
    write('hosts/r.io/hosts.toml', 'server = 5')
    assert.equal(first('r.io'), 'own.io')
    assert.match(files.check().join(), /r\.io\/hosts\.toml:1: server has the wrong type/)
    assert.equal(first('r.io:5000'), 'ported.io')
  })

  test('a directory of the host hides _default, as in containerd, also where it has certificates only; an empty hosts.toml is none', () => {
    write('hosts/_default/hosts.toml', '[host."https://default.io"]')
    mkdirSync(at('hosts/r.io'))
    writeFileSync(at('hosts/r.io/hosts.toml'), '')
    write('hosts/r.io/ca.crt', 'A')
    write('hosts/q.io_5000_/ca.crt', 'Q')
    assert.equal(files.hostsToml('r.io', 'https://r.io').value, undefined)
    assert.equal(files.hostsToml('q.io:5000', 'https://q.io:5000').value, undefined)
    assert.deepEqual(
      files
        .certificates()
        .value.map(({ host }) => host)
        .sort(),
      ['q.io:5000', 'r.io'],
    )
    rmSync(at('hosts/r.io'), { recursive: true })
    assert.equal(files.hostsToml('r.io', 'https://r.io').value?.hosts[0]?.host, 'default.io')
  })

  test('certificates by host; a key without its certificate is named', () => {
    write('certs/r.io:5000/ca.crt', 'A')
    write('certs/r.io:5000/node.cert', 'C')
    write('certs/r.io:5000/node.key', 'K')
    write('hosts/q.io/ca.crt', 'Q')
    const found = files.certificates().value
    assert.deepEqual(
      found.map(({ host, tls }) => [host, tls.authorities?.length, tls.certificate?.trim(), tls.key?.trim()]),
      [
        ['r.io:5000', 1, 'C', 'K'],
        ['q.io', 1, undefined, undefined],
      ],
    )
    rmSync(at('certs/r.io:5000/node.cert'))
    assert.match(files.certificates().problem ?? '', /node\.key has no certificate: expected .*node\.cert/)
    assert.equal(files.certificates().value.length, 2)
  })

  test('certificates that never were right are the trouble of their host alone', () => {
    write('certs/r.io/node.cert', 'C')
    write('certs/q.io/ca.crt', 'Q')
    const [q, r] = files.certificates().value
    assert.deepEqual([q?.host, q?.problem, q?.tls.authorities?.length], ['q.io', undefined, 1])
    assert.equal(r?.host, 'r.io')
    assert.match(r?.problem ?? '', /registry configuration: .*node\.cert has no key: expected .*node\.key/)
    assert.match(files.check().join(), /node\.cert has no key/)
    write('certs/r.io/node.key', 'K')
    assert.equal(files.certificates().value[1]?.problem, undefined)
    assert.deepEqual(files.check(), [])
  })

  test('a file with certificate and key needs no other', () => {
    const both =
      '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\ny\n-----END PRIVATE KEY-----'
    write('one.pem', both)
    write('two.pem', both)
    const pair = readPair(at('one.pem'), at('two.pem'))
    assert.equal(pair.key, pair.certificate)
  })

  test('auth files: broken ones do not show what is in them', () => {
    write('auth.json', '{"auths":{"r.io":{"username":"u","password":"geheim"}}}')
    assert.equal(files.authFiles()[0]?.value?.auths.get('r.io')?.username, 'u')
    write('auth.json', '{"auths":{"r.io":{"username":"u","password":geheim}}}')
    assert.equal(files.authFiles()[0]?.value?.auths.get('r.io')?.username, 'u')
    assert.match(files.check().join(), /auth\.json: is no JSON/)
    assert.doesNotMatch(files.check().join(), /geheim/)
  })
})
