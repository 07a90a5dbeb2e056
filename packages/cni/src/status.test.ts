import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { attachment, eventually, FakeNetwork, never } from '../testing/fake-network.ts'
import type { Cni } from './cni.ts'

const reason = (cni: Cni): string => {
  const status = cni.status()
  return status.ready ? '' : status.reason
}

test('no directory, no file: not ready, and ADD says so', async () => {
  using net = new FakeNetwork()
  const cni = net.cni()
  assert.match(reason(cni), /no network configuration in .*net\.d/)
  await assert.rejects(cni.add(attachment(), never()), (err) => codeOf(err) === 'unavailable')
  await cni.del(attachment())
  assert.match(reason(net.cni({ configDir: '/nowhere/net.d' })), /no network configuration in \/nowhere\/net\.d/)
})

test('the first file in lexical order is the network, and the directory is watched', async () => {
  using net = new FakeNetwork().plugin('one', 'two')
  const cni = net.cni()
  net.config('20-b.conf', { cniVersion: '1.0.0', name: 'b', type: 'two' })
  await eventually(() => cni.status().ready, 'ready')
  net.config('10-a.conflist', { cniVersion: '1.0.0', name: 'a', plugins: [{ type: 'one' }] })
  net.config('00-note.txt', 'not a configuration')
  await new Promise((resolve) => setTimeout(resolve, 200))
  await cni.add(attachment(), never())
  assert.deepEqual(net.sequence(), ['ADD one'])
  rmSync(join(net.configDir, '10-a.conflist'))
  rmSync(join(net.configDir, '20-b.conf'))
  await eventually(() => !cni.status().ready, 'not ready')
})

test('a directory that appears later, or is replaced, is found', async () => {
  using net = new FakeNetwork().plugin('one')
  rmSync(net.configDir, { recursive: true })
  const cni = net.cni({ pollMs: 50 })
  for (const round of [1, 2]) {
    assert.ok(!cni.status().ready)
    mkdirSync(net.configDir)
    net.list([{ type: 'one' }])
    await eventually(() => cni.status().ready, `ready ${round}`)
    rmSync(net.configDir, { recursive: true })
    await eventually(() => !cni.status().ready, `not ready ${round}`)
  }
})

const invalid = {
  'CVE-2021-20206: a type that is a path': [
    { name: 'n', cniVersion: '1.0.0', plugins: [{ type: '../../evil' }] },
    /plugins\[0\]\.type "\.\.\/\.\.\/evil"/,
  ],
  'an absolute type': [{ name: 'n', cniVersion: '1.0.0', type: '/bin/sh' }, /type "\/bin\/sh"/],
  'an IPAM type that is a path': [
    { name: 'n', cniVersion: '1.0.0', plugins: [{ type: 'one', ipam: { type: '../x' } }] },
    /plugins\[0\]\.ipam\.type "\.\.\/x"/,
  ],
  'no plugins': [{ name: 'n', cniVersion: '1.0.0', plugins: [] }, /plugins is empty/],
  'no name': [{ cniVersion: '1.0.0', plugins: [{ type: 'one' }] }, /name "undefined"/],
  'a name that is a path': [{ name: '../x', cniVersion: '1.0.0', plugins: [{ type: 'one' }] }, /name "\.\.\/x"/],
  'a version of the future': [
    { name: 'n', cniVersion: '9.0.0', plugins: [{ type: 'one' }] },
    /cniVersion "9\.0\.0" is not supported/,
  ],
  'a chain in 0.2.0': [{ name: 'n', cniVersion: '0.2.0', plugins: [{ type: 'one' }, { type: 'one' }] }, /cannot chain/],
  'half a file': ['{"name":', /not valid JSON/],
  'a list': ['[]', /must be a JSON object/],
  'a flag that is none': [{ name: 'n', cniVersion: '1.0.0', disableCheck: 7, plugins: [{ type: 'one' }] }, /disableCheck "7"/],
} as const

for (const [name, [json, pattern]] of Object.entries(invalid)) {
  test(`a configuration with ${name} makes the network not ready, naming file and problem`, () => {
    using net = new FakeNetwork().plugin('one')
    net.config('10-net.conflist', json)
    net.config('20-good.conflist', { cniVersion: '1.0.0', name: 'good', plugins: [{ type: 'one' }] })
    assert.match(reason(net.cni()), /10-net\.conflist/)
    assert.match(reason(net.cni()), pattern)
  })
}

test('a configuration or plugin that others may write is refused', () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }])
  chmodSync(join(net.configDir, '10-net.conflist'), 0o666)
  assert.match(reason(net.cni()), /10-net\.conflist is invalid: can be written by others/)
  chmodSync(join(net.configDir, '10-net.conflist'), 0o644)
  chmodSync(join(net.pluginDir, 'one'), 0o777)
  assert.match(reason(net.cni()), /plugin one cannot be used: .* can be written by others/)
  rmSync(join(net.pluginDir, 'one'))
  mkdirSync(join(net.pluginDir, 'one'))
  assert.match(reason(net.cni()), /not a regular file/)
})

test('a missing plugin is named, also an IPAM plugin; it is found once it is there', async () => {
  using net = new FakeNetwork().plugin('bridge')
  net.list([{ type: 'bridge', ipam: { type: 'host-local' } }, { type: 'portmap' }])
  const cni = net.cni({ pollMs: 50 })
  assert.match(reason(cni), /network net: cni plugin host-local is missing: not in .*bin/)
  net.plugin('host-local')
  await eventually(() => /portmap is missing/.test(reason(cni)), 'portmap')
  net.plugin('portmap')
  await eventually(() => cni.status().ready, 'ready')
})

test('a plugin that does not speak the version makes the network not ready', async () => {
  using net = new FakeNetwork().plugin('one')
  net.mode('one', 'VERSION', `echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'`)
  net.list([{ type: 'one' }], { cniVersion: '1.1.0' })
  const cni = net.cni()
  await eventually(() => !cni.status().ready, 'not ready')
  assert.match(reason(cni), /cniVersion 1\.1\.0 is not supported by plugin one \(it has 0\.4\.0, 1\.0\.0\)/)
  net.list([{ type: 'one' }], { cniVersion: '0.4.0', cniVersions: ['0.3.1', '1.0.0', '2.0.0'] })
  await eventually(() => cni.status().ready, 'ready')
  await cni.add(attachment(), never())
  assert.equal(net.calls()[0]?.config['cniVersion'], '1.0.0')
})

test('STATUS decides from 1.1.0 on, with a grace once it was well', async () => {
  using net = new FakeNetwork().plugin('one')
  net.list([{ type: 'one' }], { cniVersion: '1.1.0' })
  net.mode('one', 'STATUS', `echo '{"code":50,"msg":"not yet"}'; exit 1`)
  const cni = net.cni({ pollMs: 50, statusGraceMs: 400 })
  await eventually(() => !cni.status().ready, 'not ready')
  assert.match(reason(cni), /plugin one: STATUS for network net: not yet/)
  net.mode('one', 'STATUS', undefined)
  await eventually(() => cni.status().ready, 'ready')
  net.mode('one', 'STATUS', 'exit 1')
  const started = performance.now()
  await eventually(() => !cni.status().ready, 'not ready again')
  assert.ok(performance.now() - started >= 350)
})

test('plugins in files beside the list are appended, unless the list says otherwise', async () => {
  using net = new FakeNetwork().plugin('one', 'two')
  mkdirSync(join(net.configDir, 'net'))
  net.config('net/10-two.conf', { type: 'two' })
  net.list([{ type: 'one' }])
  await net.cni().add(attachment(), never())
  assert.deepEqual(net.sequence(), ['ADD one', 'ADD two'])
  net.list([{ type: 'one' }], { loadOnlyInlinedPlugins: true })
  await net.cni().add(attachment('pod2'), never())
  assert.deepEqual(net.sequence().slice(2), ['ADD one'])
})
