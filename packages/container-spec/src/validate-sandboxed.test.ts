import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ContainerInit, container, type PodInit, pod, type SecurityInit, secured } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { checkSandboxedContainer, checkSandboxedPod } from './validate-sandboxed.ts'

type PodSecurity = NonNullable<Exclude<NonNullable<PodInit['linux']>['securityContext'], undefined>>
const podWith = (securityContext: PodSecurity) => pod({ linux: { securityContext } })

describe('what a handler with a kernel of its own cannot do', () => {
  test('an ordinary pod and container pass', () => {
    checkSandboxedPod(pod(), 'runsc')
    checkSandboxedPod(podWith({ namespaceOptions: { pid: 1 } }), 'runsc')
    checkSandboxedPod(podWith({ namespaceOptions: { pid: 1, network: 2 } }), 'runsc')
    checkSandboxedPod(pod({ linux: { sysctls: { 'net.ipv4.tcp_syncookies': '0' } } }), 'runsc')
    checkSandboxedContainer(container({ mounts: [{ containerPath: '/a', hostPath: '/a' }] }), 'runsc')
    checkSandboxedContainer(secured({ namespaceOptions: { pid: 1 } }), 'runsc')
  })

  const ids = [{ hostId: 100_000, containerId: 0, length: 65_536 }]
  const pods: readonly (readonly [string, Parameters<typeof checkSandboxedPod>[0]])[] = [
    ['privileged', podWith({ privileged: true })],
    ['namespace_options.pid NODE', podWith({ namespaceOptions: { pid: 2 } })],
    ['namespace_options.pid POD', podWith({ namespaceOptions: { pid: 0 } })],
    ['namespace_options.ipc NODE', podWith({ namespaceOptions: { pid: 1, ipc: 2 } })],
    ['userns_options', podWith({ namespaceOptions: { pid: 1, usernsOptions: { mode: 0, uids: ids, gids: ids } } })],
    ['sysctls["kernel.shmmax"]', pod({ linux: { sysctls: { 'net.core.somaxconn': '9', 'kernel.shmmax': '1' } } })],
  ]
  for (const [field, config] of pods)
    test(`pod: ${field}`, () => throws(() => checkSandboxedPod(config, 'runsc'), 'failed_precondition', field))

  const security = (init: SecurityInit): ContainerInit => ({ linux: { securityContext: init } })
  const containers: readonly (readonly [string, ContainerInit])[] = [
    ['pid TARGET', security({ namespaceOptions: { pid: 3, targetId: 'x' } })],
    ['pid NODE', security({ namespaceOptions: { pid: 2 } })],
    ['add_ambient_capabilities', security({ capabilities: { addAmbientCapabilities: ['CHOWN'] } })],
    ['config.devices', { devices: [{ hostPath: '/dev/null', containerPath: '/dev/x', permissions: 'r' }] }],
    ['config.CDI_devices', { CDIDevices: [{ name: 'a.b/c=d' }] }],
    ['mounts[0].propagation', { mounts: [{ containerPath: '/a', hostPath: '/a', propagation: 1 }] }],
    [
      'mounts[0].recursive_read_only',
      { mounts: [{ containerPath: '/a', hostPath: '/a', readonly: true, recursiveReadOnly: true }] },
    ],
  ]
  for (const [field, init] of containers)
    test(`container: ${field}`, () =>
      throws(() => checkSandboxedContainer(container(init), 'runsc'), 'failed_precondition', field))

  test('the handler is named', () => {
    assert.throws(() => checkSandboxedPod(podWith({ privileged: true }), 'gvisor-kvm'), /handler "gvisor-kvm"/)
  })
})
