import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { container, input } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { cdiDevicePaths } from './cdi.ts'
import { type CdiFile, cdiRequests, indexCdi, resolveCdi as resolve } from './cdi-index.ts'
import { parseCdiSpec } from './cdi-parse.ts'
import { createSpec } from './spec.ts'

const document = {
  cdiVersion: '0.6.0',
  kind: 'vendor.com/gpu',
  containerEdits: {
    env: ['VENDOR=1', 'PATH=/opt/gpu'],
    mounts: [{ hostPath: '/opt/lib', containerPath: '/opt/lib', options: ['ro', 'bind'] }],
  },
  devices: [
    {
      name: '0',
      containerEdits: {
        deviceNodes: [{ path: '/dev/gpu0', hostPath: '/dev/real0', permissions: 'rw' }],
        hooks: [{ hookName: 'createContainer', path: '/usr/bin/hook', args: ['hook', 'x'] }],
        additionalGids: [44, 0],
      },
    },
    {
      name: 'all',
      containerEdits: { deviceNodes: [{ path: '/dev/gpu1', type: 'c', major: 7, minor: 8, fileMode: 0o660, gid: 44 }] },
    },
  ],
}
const spec = parseCdiSpec('gpu.json', document)
const fileOf = (from: typeof spec, path = '/etc/cdi/gpu.json', priority = 0): CdiFile => ({ path, priority, spec: from })
const requests = (names: readonly string[]) => names.map((name, i) => ({ field: `config.CDI_devices[${i}].name`, name }))
const resolveCdi = (names: readonly string[], specs: readonly (typeof spec)[]) =>
  resolve(
    requests(names),
    indexCdi(
      ['/etc/cdi'],
      specs.map((from, i) => fileOf(from, `/etc/cdi/${i}.json`, i)),
    ),
  )
const devices = new Map([['/dev/real0', { path: '/dev/real0', type: 'c', major: 5, minor: 6 } as const]])
const made = (names: string[]) => {
  const config = container({
    CDIDevices: names.map((name) => ({ name })),
    envs: [{ key: 'LD_PRELOAD', value: Buffer.from('/evil.so') }],
  })
  return createSpec(input({ config, devices, cdi: resolveCdi(names, [spec]) }))
}

describe('H-64: CDI', () => {
  test('nodes, rules, mounts, environment, groups and hooks are applied, a file’s own edits once', () => {
    const { spec: result, user } = made(['vendor.com/gpu=0', 'vendor.com/gpu=all'])
    assert.deepEqual(result.linux.devices, [
      { path: '/dev/gpu0', type: 'c', major: 5, minor: 6 },
      { path: '/dev/gpu1', type: 'c', major: 7, minor: 8, fileMode: 0o660, gid: 44 },
    ])
    assert.deepEqual(result.linux.resources.devices?.slice(1), [
      { allow: true, type: 'c', major: 5, minor: 6, access: 'rw' },
      { allow: true, type: 'c', major: 7, minor: 8, access: 'rwm' },
    ])
    assert.deepEqual(result.mounts.filter((mount) => mount.destination === '/opt/lib').length, 1)
    assert.ok(result.process.env.includes('VENDOR=1') && result.process.env.includes('PATH=/opt/gpu'))
    assert.deepEqual(user.supplementalGroups, [0, 44])
  })
  test('CVE-2025-23266: hooks run with a fixed environment', () => {
    const hooks = made(['vendor.com/gpu=0']).spec.hooks
    assert.deepEqual(hooks, {
      createContainer: [{ path: '/usr/bin/hook', args: ['hook', 'x'], env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] }],
    })
    const hooked = { hookName: 'prestart', path: '/h', env: ['LD_PRELOAD=/x'] }
    throws(() => parseCdiSpec('f', { ...document, containerEdits: { hooks: [hooked] } }), 'invalid_argument', 'LD_PRELOAD')
  })
  test('which nodes must be looked up', () => {
    assert.deepEqual(cdiDevicePaths(resolveCdi(['vendor.com/gpu=0', 'vendor.com/gpu=all'], [spec])), ['/dev/real0'])
  })
  test('a later directory wins', () => {
    const later = parseCdiSpec('b', {
      ...document,
      containerEdits: {},
      devices: [{ name: '0', containerEdits: { env: ['B=2'] } }],
    })
    assert.deepEqual(resolveCdi(['vendor.com/gpu=0'], [spec, later]).env, ['B=2'])
  })
  test('unknown devices, missing nodes, and CDI that is off are refused', () => {
    throws(() => resolveCdi(['vendor.com/gpu=9'], [spec]), 'failed_precondition', 'config.CDI_devices[0]')
    throws(() => resolveCdi(['vendor.com/gpu=9'], [spec]), 'failed_precondition', 'known are 0, all')
    throws(() => resolveCdi(['b.com/nic=9'], [spec]), 'failed_precondition', 'no file in /etc/cdi is about b.com/nic')
    const cdi = resolveCdi(['vendor.com/gpu=0'], [spec])
    throws(() => createSpec(input({ cdi })), 'failed_precondition', '/dev/real0')
    throws(() => createSpec(input({ cdi, devices, sandboxed: true })), 'failed_precondition', 'kernel of the node')
    throws(() => createSpec(input({ config: container({ CDIDevices: [{ name: 'a.b/c=d' }] }) })), 'failed_precondition', 'CDI')
  })
  test('two files of one directory that define one device are a conflict, for this device only, until a later directory decides', () => {
    const [a, b] = [
      fileOf(spec, '/etc/cdi/a.json'),
      fileOf(parseCdiSpec('b', { ...document, devices: [document.devices[0]] }), '/etc/cdi/b.json'),
    ]
    const two = indexCdi(['/etc/cdi'], [a, b])
    throws(() => resolve(requests(['vendor.com/gpu=0']), two), 'failed_precondition', '/etc/cdi/a.json and /etc/cdi/b.json')
    assert.equal(resolve(requests(['vendor.com/gpu=all']), two).deviceNodes.length, 1)
    const decided = indexCdi(['/etc/cdi', '/var/run/cdi'], [fileOf(spec, '/var/run/cdi/c.json', 1), a, b])
    assert.equal(decided.devices.get('vendor.com/gpu=0')?.path, '/var/run/cdi/c.json')
    assert.equal(decided.conflicts.size, 0)
  })
  test('annotations name devices too, each device counts once', () => {
    const annotations = { 'cdi.k8s.io/plugin_1': 'vendor.com/gpu=0,vendor.com/gpu=all', other: 'x' }
    const config = container({ annotations, CDIDevices: [{ name: 'vendor.com/gpu=0' }] })
    assert.deepEqual(cdiRequests(config), [
      { field: 'config.CDI_devices[0].name', name: 'vendor.com/gpu=0' },
      { field: 'config.annotations["cdi.k8s.io/plugin_1"]', name: 'vendor.com/gpu=all' },
    ])
    const bad = container({ annotations: { 'cdi.k8s.io/x': 'vendor.com/gpu=0,' } })
    throws(() => cdiRequests(bad), 'invalid_argument', 'cdi.k8s.io/x')
  })
  test('what we cannot do is refused to who asks for it, and to nobody else', () => {
    const wishes = {
      ...document,
      devices: [
        { name: 'a', containerEdits: { intelRdt: {} } },
        { name: 0, containerEdits: {} },
      ],
    }
    const specs = [parseCdiSpec('f', wishes)]
    throws(() => resolveCdi(['vendor.com/gpu=a'], specs), 'failed_precondition', 'intelRdt')
    assert.deepEqual(resolveCdi(['vendor.com/gpu=0'], specs).env, document.containerEdits.env)
  })
  const bad: readonly unknown[] = [
    null,
    [],
    {},
    { ...document, cdiVersion: '0.2.0' },
    { ...document, kind: 'gpu' },
    { ...document, devices: [{ name: '../x', containerEdits: {} }] },
    { ...document, devices: [{ name: 'a' }] },
    { ...document, devices: [document.devices[1], document.devices[1]] },
    { ...document, containerEdits: { env: ['X'] } },
    { ...document, containerEdits: { mounts: [{ hostPath: 'x', containerPath: '/y' }] } },
    { ...document, containerEdits: { mounts: [{ hostPath: '/x', containerPath: '/y', options: ['a b'] }] } },
    { ...document, containerEdits: { deviceNodes: [{ path: 'x' }] } },
    { ...document, containerEdits: { deviceNodes: [{ path: '/dev/x', major: -1 }] } },
    { ...document, containerEdits: { hooks: [{ hookName: 'x', path: '/y' }] } },
    { ...document, containerEdits: { additionalGids: [1.5] } },
    { ...document, containerEdits: { envs: ['A=b'] } },
    { ...document, containerEdit: {} },
    { ...document, containerEdits: { deviceNodes: [{ path: '/dev/x', mode: 1 }] } },
  ]
  for (const [i, value] of bad.entries())
    test(`bad file ${i} is refused`, () => throws(() => parseCdiSpec('f', value), 'invalid_argument', 'f'))
  test('a mount over /proc is refused', () => {
    const edits = { mounts: [{ hostPath: '/x', containerPath: '/proc/y' }] }
    const cdi = resolveCdi(['vendor.com/gpu=all'], [parseCdiSpec('f', { ...document, containerEdits: edits })])
    throws(() => createSpec(input({ cdi })), 'invalid_argument', '/proc')
  })
})
