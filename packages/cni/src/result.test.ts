import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networkResult, resultInVersion } from './result.ts'
import { cniVersions } from './version.ts'

const oldest = {
  cniVersion: '0.2.0',
  ip4: { ip: '10.1.0.5/16', gateway: '10.1.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }] },
  ip6: { ip: 'fd00::5/64' },
  dns: { nameservers: ['10.1.0.1'] },
}

const newest = {
  cniVersion: '1.1.0',
  interfaces: [
    { name: 'veth1', mac: '02:00:00:00:00:01', mtu: 1400 },
    { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/ns', mtu: 1400, socketPath: '/s', pciID: 'x' },
  ],
  ips: [
    { address: 'fd00::5/64', gateway: 'fd00::1', interface: 1 },
    { address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 1 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1', mtu: 1400, priority: 3 }, { dst: '::/0' }],
  dns: { nameservers: ['10.1.0.1'] },
}

test('a result of the configuration’s version is passed on untouched', () => {
  for (const cniVersion of cniVersions) {
    const json = { ...(cniVersion < '0.3' ? oldest : newest), cniVersion, extra: { kept: true } }
    assert.equal(resultInVersion(json, cniVersion), json)
  }
})

test('1.1 to 1.0, 0.4 and 0.2', () => {
  const interfaces = [
    { name: 'veth1', mac: '02:00:00:00:00:01' },
    { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/ns' },
  ]
  const routes = [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }, { dst: '::/0' }]
  assert.deepEqual(resultInVersion(newest, '1.0.0'), {
    cniVersion: '1.0.0',
    interfaces,
    ips: newest.ips,
    routes,
    dns: newest.dns,
  })
  assert.deepEqual(resultInVersion(newest, '0.4.0'), {
    cniVersion: '0.4.0',
    interfaces,
    ips: [
      { version: '6', ...newest.ips[0] },
      { version: '4', ...newest.ips[1] },
    ],
    routes,
    dns: newest.dns,
  })
  assert.deepEqual(resultInVersion(newest, '0.2.0'), {
    cniVersion: '0.2.0',
    ip4: { ip: '10.1.0.5/16', gateway: '10.1.0.1', routes: [routes[0]] },
    ip6: { ip: 'fd00::5/64', gateway: 'fd00::1', routes: [routes[1]] },
    dns: newest.dns,
  })
})

test('0.2 to 1.0, and 0.4 to 1.0', () => {
  assert.deepEqual(resultInVersion(oldest, '1.0.0')['ips'], [
    { address: '10.1.0.5/16', gateway: '10.1.0.1' },
    { address: 'fd00::5/64' },
  ])
  const json = { cniVersion: '0.4.0', interfaces: [], ips: [{ version: '4', address: '10.1.0.5/16' }], dns: {} }
  assert.deepEqual(resultInVersion(json, '1.0.0')['ips'], [{ address: '10.1.0.5/16' }])
  assert.equal(resultInVersion(json, '0.3.1')['cniVersion'], '0.3.1')
})

test('the pod’s addresses: of its interface, first of each family first', () => {
  assert.deepEqual(networkResult(newest, '1.1.0', 'eth0').ips, ['fd00::5', '10.1.0.5'])
  assert.deepEqual(networkResult(oldest, '0.2.0', 'eth0').ips, ['10.1.0.5', 'fd00::5'])
  const chained = {
    cniVersion: '1.0.0',
    interfaces: [
      { name: 'lo', sandbox: '/ns' },
      { name: 'br0' },
      { name: 'net1', sandbox: '/ns' },
      { name: 'eth0', sandbox: '/ns' },
    ],
    ips: [
      { address: '127.0.0.1/8', interface: 0 },
      { address: '10.9.0.1/16', interface: 1 },
      { address: '10.8.0.4/16', interface: 2 },
      { address: '10.9.0.4/16', interface: 3 },
      { address: 'fd09::4/64' },
    ],
  }
  assert.deepEqual(networkResult(chained, '1.0.0', 'eth0').ips, ['10.9.0.4', 'fd09::4'])
  assert.throws(() => networkResult({ ips: [{ address: '::1/128' }] }, '1.0.0', 'eth0'), /no address/)
})
