import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type PodInit, pod } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { hostsFile, podHostname, resolvConf } from './pod-files.ts'

describe('podHostname', () => {
  const name = (init: PodInit) => podHostname(pod(init), 'node-1')
  test('the pod’s, or the host’s on its network and without one', () => {
    assert.equal(name({ hostname: 'web-0' }), 'web-0')
    assert.equal(name({ hostname: '' }), 'node-1')
    assert.equal(name({ hostname: 'x', linux: { securityContext: { namespaceOptions: { network: 2 } } } }), 'node-1')
  })
  for (const hostname of ['a b', 'a\n', '-a', 'a-', 'a'.repeat(65), 'a/b', 'ü', 'a_b'])
    test(`${JSON.stringify(hostname)} is refused`, () => {
      throws(() => name({ hostname }), 'invalid_argument', 'config.hostname')
    })
})

describe('resolvConf', () => {
  const dns = (init: NonNullable<PodInit['dnsConfig']>) => resolvConf(pod({ dnsConfig: init }).dnsConfig, 'nameserver 9.9.9.9\n')
  test('the pod’s settings, verbatim and all of them', () => {
    const searches = Array.from({ length: 40 }, (_, i) => `s${i}.example`)
    assert.equal(
      dns({ servers: ['10.0.0.1', 'fe80::1%eth0', '1.1.1.1', '8.8.8.8'], searches, options: ['ndots:5', 'edns0'] }),
      `search ${searches.join(' ')}\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 1.1.1.1\nnameserver 8.8.8.8\noptions ndots:5 edns0\n`,
    )
  })
  test('the host’s text without settings', () => {
    assert.equal(dns({}), 'nameserver 9.9.9.9\n')
    assert.equal(resolvConf(undefined, 'x\n'), 'x\n')
  })
  for (const word of ['a b', 'a\nnameserver 6.6.6.6', '', 'a\0', 'a\t'])
    test(`${JSON.stringify(word)} is refused`, () => {
      throws(() => dns({ servers: [word] }), 'invalid_argument', 'config.dns_config.servers[0]')
      throws(() => dns({ searches: ['x', word] }), 'invalid_argument', 'config.dns_config.searches[1]')
      throws(() => dns({ options: [word] }), 'invalid_argument', 'config.dns_config.options[0]')
    })
})

describe('hostsFile', () => {
  test('loopback and the pod’s addresses', () => {
    const text = hostsFile(['10.1.2.3', 'fd00::5'], 'web')
    assert.match(text, /^127\.0\.0\.1\tlocalhost\n::1\t/)
    assert.match(text, /\n10\.1\.2\.3\tweb\nfd00::5\tweb\n$/)
  })
  test('what is no address is left out, a bad name refused', () => {
    assert.ok(!hostsFile(['6.6.6.6 bank.example'], 'web').includes('bank'))
    throws(() => hostsFile(['10.0.0.1'], 'web\n6.6.6.6 x'), 'invalid_argument', 'hostname')
  })
})
