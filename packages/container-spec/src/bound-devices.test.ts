import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { container, host, input, pod, podFacts } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { createSpec } from './spec.ts'

const ids = [{ containerId: 0, hostId: 100_000, length: 65_536 }]
const options = { pid: 1, usernsOptions: { mode: 0, uids: ids, gids: ids } } as const
const mapped = podFacts({ config: pod({ linux: { securityContext: { namespaceOptions: options } } }) })
const fuse = { path: '/dev/fuse', type: 'c', major: 10, minor: 229 } as const

function made(containerPath: string, bindsDevices: boolean) {
  const config = container({
    devices: [{ hostPath: '/dev/fuse', containerPath, permissions: 'rw' }],
    linux: { securityContext: { namespaceOptions: options } },
  })
  const { spec } = createSpec(
    input({
      pod: mapped,
      config,
      host: { ...host, userNamespaces: true },
      devices: new Map([['/dev/fuse', fuse]]),
      bindsDevices,
    }),
  )
  return { devices: spec.linux.devices, mount: spec.mounts.find(({ destination }) => destination === containerPath), spec }
}

describe('devices in user namespaces', () => {
  test('a handler that binds them by their path inside gets a bind for those that are called otherwise', () => {
    const renamed = made('/dev/kmsg', true)
    assert.deepEqual(renamed.devices, [])
    assert.equal(renamed.mount?.source, '/dev/fuse')
    assert.ok(!renamed.mount?.options.includes('nodev'))
    assert.ok(renamed.spec.linux.resources.devices?.some(({ major, minor, allow }) => allow && major === 10 && minor === 229))
    const plain = made('/dev/fuse', true)
    assert.deepEqual([plain.devices?.length, plain.mount], [1, undefined])
    const other = made('/dev/kmsg', false)
    assert.deepEqual([other.devices?.length, other.mount], [1, undefined])
  })

  test('a device without a file on the node is refused', () => {
    const node = { path: '/dev/gpu', hostPath: '/dev/gpu', permissions: 'rw', type: 'c', major: 1, minor: 2 } as const
    const cdi = { env: [], mounts: [], hooks: [], additionalGids: [], unsupported: [], deviceNodes: [node] }
    const config = container({ linux: { securityContext: { namespaceOptions: options } } })
    const given = { pod: mapped, config, host: { ...host, userNamespaces: true }, cdi }
    throws(() => createSpec(input({ ...given, bindsDevices: true })), 'failed_precondition', '/dev/gpu')
    createSpec(input({ ...given, bindsDevices: false }))
  })
})
