import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ContainerInit, container, type PodInit, pod } from '../test/sample-input.ts'
import { throws } from '../test/throws.ts'
import { validateContainerConfig } from './validate-container.ts'
import { validatePodConfig } from './validate-pod.ts'

const metadata = { name: 'web', namespace: 'default', uid: 'u-1' }
const badNames = ['', '.', '..', '../../../canary', 'a/b', 'a\0b', 'x'.repeat(300), 'é'.repeat(200), 'a\nb']

const ids = [{ hostId: 65536, containerId: 0, length: 65536 }]
const userns = { mode: 0 as const, uids: ids, gids: ids }

describe('validatePodConfig', () => {
  test('an ordinary pod passes', () => {
    validatePodConfig(
      pod({ logDirectory: '/var/log/pods/x', portMappings: [{ containerPort: 80, hostPort: 8080, hostIp: '::1', protocol: 2 }] }),
    )
  })
  for (const field of ['name', 'namespace', 'uid'] as const)
    for (const value of badNames)
      test(`CVE-2025-0750 CVE-2024-9675: metadata.${field} ${JSON.stringify(value.slice(0, 20))} is refused`, () => {
        throws(
          () => validatePodConfig(pod({ metadata: { ...metadata, [field]: value } })),
          'invalid_argument',
          `config.metadata.${field}`,
        )
      })
  const privileged = { runAsGroup: { value: 1n } }
  const table: readonly (readonly [PodInit, string])[] = [
    [{ metadata: undefined }, 'config.metadata'],
    [{ logDirectory: 'relative' }, 'config.log_directory'],
    [{ logDirectory: '/var/../etc' }, 'config.log_directory'],
    [{ logDirectory: '/var/\0' }, 'config.log_directory'],
    [{ hostname: 'a b' }, 'config.hostname'],
    [{ dnsConfig: { servers: ['a b'] } }, 'config.dns_config.servers[0]'],
    [{ annotations: { a: 'x'.repeat(300_000) } }, 'config.annotations'],
    [{ labels: { a: 'x'.repeat(300_000) } }, 'config.labels'],
    [{ portMappings: [{ hostPort: 1, containerPort: 0 }] }, 'config.port_mappings[0].container_port'],
    [{ portMappings: [{ hostPort: 65536, containerPort: 1 }] }, 'config.port_mappings[0].host_port'],
    [{ portMappings: [{ containerPort: -1 }] }, 'config.port_mappings[0].container_port'],
    [{ portMappings: [{ containerPort: 1, protocol: 3 as 0 }] }, 'config.port_mappings[0].protocol'],
    [{ portMappings: [{ containerPort: 1, hostIp: 'localhost' }] }, 'config.port_mappings[0].host_ip'],
    [{ linux: { cgroupParent: '/a/../..' } }, 'config.linux.cgroup_parent'],
    [{ linux: { cgroupParent: '/a\n' } }, 'config.linux.cgroup_parent'],
    [{ linux: { sysctls: { 'kernel.core_pattern': 'x' } } }, 'config.linux.sysctls'],
    [
      { linux: { sysctls: { 'net.core.somaxconn': '1' }, securityContext: { namespaceOptions: { network: 2 } } } },
      'config.linux.sysctls',
    ],
    [{ linux: { securityContext: privileged } }, 'run_as_group'],
    [{ linux: { securityContext: { runAsUser: { value: 2n ** 32n } } } }, 'run_as_user'],
    [{ linux: { securityContext: { supplementalGroups: [-1n] } } }, 'supplemental_groups[0]'],
    [{ linux: { securityContext: { namespaceOptions: { network: 1 } } } }, 'namespace_options.network'],
    [{ linux: { securityContext: { namespaceOptions: { ipc: 3 } } } }, 'namespace_options.ipc'],
    [{ linux: { securityContext: { namespaceOptions: { pid: 3 } } } }, 'namespace_options.pid'],
    [{ linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: 1 } } } } }, 'userns_options'],
    [{ linux: { securityContext: { namespaceOptions: { pid: 2, usernsOptions: userns } } } }, 'namespace_options.pid'],
    [{ linux: { securityContext: { seccomp: { profileType: 7 as 0 } } } }, 'seccomp'],
    [{ linux: { securityContext: { supplementalGroupsPolicy: 2 as 0 } } }, 'supplemental_groups_policy'],
  ]
  for (const [init, field] of table)
    test(`${field} is named`, () => {
      throws(() => validatePodConfig(pod(init)), 'invalid_argument', field)
    })
})

describe('validateContainerConfig', () => {
  const logged = pod({ logDirectory: '/var/log/pods/x' })
  const check = (init: ContainerInit, inPod = logged) => validateContainerConfig(container(init), inPod)
  test('an ordinary container passes', () => {
    check({
      logPath: 'main/0.log',
      CDIDevices: [{ name: 'vendor.com/gpu=all' }],
      mounts: [{ containerPath: '/a', hostPath: '/b' }],
    })
    check({})
  })
  test('a host mount may carry an image_sub_path, as kubelet gives it', () => {
    check({ mounts: [{ containerPath: '/a', hostPath: '/b', imageSubPath: 'one/two' }] })
  })
  for (const value of badNames)
    test(`CVE-2025-0750: metadata.name ${JSON.stringify(value.slice(0, 20))} is refused`, () => {
      throws(() => check({ metadata: { name: value } }), 'invalid_argument', 'config.metadata.name')
    })
  for (const logPath of ['../../x.log', '/abs.log', 'a/../b.log', 'a\0', 'x'.repeat(300), './a', 'a//b', 'a/', 'a/..'])
    test(`CVE-2025-0750: log_path ${JSON.stringify(logPath.slice(0, 20))} is refused`, () => {
      throws(() => check({ logPath }), 'invalid_argument', 'config.log_path')
    })
  test('CVE-2025-0750: a log path needs the pod’s directory', () => {
    throws(() => check({ logPath: 'a.log' }, pod()), 'invalid_argument', 'log_directory')
  })
  const mount = { containerPath: '/a', hostPath: '/b' }
  const table: readonly (readonly [ContainerInit, string])[] = [
    [{ metadata: undefined }, 'config.metadata'],
    [{ image: undefined }, 'config.image.image'],
    [{ image: { image: '' } }, 'config.image.image'],
    [{ stopSignal: 99 as 0 }, 'config.stop_signal'],
    [{ mounts: [{ ...mount, containerPath: '' }] }, 'config.mounts[0].container_path'],
    [{ mounts: [{ ...mount, containerPath: '/proc' }] }, 'config.mounts[0].container_path'],
    [{ mounts: [{ ...mount, hostPath: '' }] }, 'config.mounts[0].host_path'],
    [{ mounts: [{ ...mount, hostPath: 'x' }] }, 'config.mounts[0].host_path'],
    [{ mounts: [{ ...mount, propagation: 3 as 0 }] }, 'config.mounts[0].propagation'],
    [{ mounts: [{ ...mount, image: { image: 'i' } }] }, 'config.mounts[0]'],
    [{ mounts: [{ containerPath: '/a', image: { image: 'i' }, imageSubPath: '../x' }] }, 'config.mounts[0].image_sub_path'],
    [{ mounts: [{ containerPath: '/a', image: { image: 'i' }, imageSubPath: '/x' }] }, 'config.mounts[0].image_sub_path'],
    [{ mounts: [{ containerPath: '/a', image: { image: 'i' }, propagation: 2 }] }, 'config.mounts[0].propagation'],
    [{ mounts: Array.from({ length: 1001 }, () => mount) }, 'config.mounts'],
    [{ devices: [{ hostPath: '/etc/x' }] }, 'config.devices[0].host_path'],
    [{ CDIDevices: [{ name: 'gpu' }] }, 'config.CDI_devices[0].name'],
    [{ CDIDevices: [{ name: 'a/b=../c' }] }, 'config.CDI_devices[0].name'],
    [{ linux: { resources: { cpuPeriod: 1n } } }, 'config.linux.resources.cpu_period'],
    [{ linux: { securityContext: { privileged: true } } }, 'config.linux.security_context.privileged'],
    [{ linux: { securityContext: { runAsGroup: { value: 1n } } } }, 'run_as_group'],
    [{ linux: { securityContext: { seccomp: { profileType: 2 } } } }, 'seccomp'],
    [{ linux: { securityContext: { apparmor: { profileType: 2 } } } }, 'apparmor'],
    [{ linux: { securityContext: { namespaceOptions: { pid: 4 as 0 } } } }, 'namespace_options.pid'],
    [{ linux: { securityContext: { namespaceOptions: { network: 2 } } } }, 'namespace_options.network'],
    [{ linux: { securityContext: { namespaceOptions: { network: 1 } } } }, 'namespace_options.network'],
    [{ linux: { securityContext: { namespaceOptions: { ipc: 2 } } } }, 'namespace_options.ipc'],
    [{ linux: { securityContext: { namespaceOptions: { ipc: 7 as 0 } } } }, 'namespace_options.ipc'],
  ]
  for (const [init, field] of table)
    test(`${field} is named`, () => {
      throws(() => check(init), 'invalid_argument', field)
    })
  test('network and IPC are the pod’s, whether a container says so or leaves it out', () => {
    const onHost = pod({ logDirectory: '/l', linux: { securityContext: { namespaceOptions: { network: 2, ipc: 2 } } } })
    check({ linux: { securityContext: { namespaceOptions: { network: 2, ipc: 2 } } } }, onHost)
    check({ linux: { securityContext: { namespaceOptions: { pid: 1 } } } }, onHost)
  })
  test('unknown things never pass by silence', () => {
    assert.doesNotThrow(() => check({ labels: JSON.parse('{"__proto__":"x"}') }))
  })
})
