// Inputs for tests: a plain pod and container, with what a test changes.
import { create, type Message, type MessageInitShape } from '@bufbuild/protobuf'
import { ContainerConfigSchema, type LinuxContainerSecurityContextSchema, PodSandboxConfigSchema } from '@coracle/cri-api'
import type { ImageConfig } from '@coracle/oci-spec/image'
import { knownCapabilities } from '../src/capabilities.ts'
import type { HostFacts, PodFacts, SpecInput } from '../src/spec-input.ts'

// Without the finished message, which is the other half of protobuf-es's init type.
export type ContainerInit = Exclude<MessageInitShape<typeof ContainerConfigSchema>, Message>
export type PodInit = Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, Message>
export type SecurityInit = Exclude<MessageInitShape<typeof LinuxContainerSecurityContextSchema>, Message>

export const container = (init: ContainerInit = {}) =>
  create(ContainerConfigSchema, { metadata: { name: 'main' }, image: { image: 'img' }, command: ['/bin/true'], ...init })

export const pod = (init: PodInit = {}) =>
  create(PodSandboxConfigSchema, { metadata: { name: 'web', namespace: 'default', uid: 'u-1' }, hostname: 'web', ...init })

/** A container config with only a security context. */
export const secured = (securityContext: SecurityInit, init: ContainerInit = {}) =>
  container({ ...init, linux: { securityContext } })

export const host: HostFacts = {
  cgroupMode: 'v1',
  cgroupDriver: 'cgroupfs',
  controllers: new Set(['cpu', 'cpuset', 'memory', 'pids', 'hugetlb', 'devices']),
  swapAccounting: true,
  capabilities: knownCapabilities.filter((name) => name !== 'CAP_SYS_RESOURCE'),
  seccomp: true,
  apparmor: false,
  selinux: false,
  lowerOomScore: false,
  oomScoreAdj: 0,
  hugepageSizes: ['2MB'],
  recursiveReadOnly: false,
  userNamespaces: false,
  nofile: { soft: 1024, hard: 20000 },
}

export const image: ImageConfig = {
  platform: { os: 'linux', architecture: 'amd64' },
  user: '',
  env: [],
  entrypoint: [],
  cmd: [],
  workingDir: '',
  stopSignal: '',
  volumes: [],
  labels: new Map(),
  diffIds: [],
}

export const podFacts = (init: Partial<PodFacts> = {}): PodFacts => ({
  id: 'p'.repeat(64),
  config: pod(),
  netnsPath: '/run/ns/net',
  ipcnsPath: '/run/ns/ipc',
  utsnsPath: '/run/ns/uts',
  pidnsPath: undefined,
  usernsPath: undefined,
  hostname: 'web',
  resolvConfPath: '/run/pod/resolv.conf',
  hostnamePath: '/run/pod/hostname',
  hostsPath: '/run/pod/hosts',
  shmPath: '/run/pod/shm',
  cgroupParent: '/kubepods/pod1',
  ...init,
})

export const input = (init: Partial<SpecInput> = {}): SpecInput => ({
  id: 'c'.repeat(64),
  pod: podFacts(),
  config: container(),
  image,
  host,
  rootfsPath: '/rootfs',
  passwd: undefined,
  group: undefined,
  sources: new Map(),
  devices: new Map(),
  targetPidnsPath: undefined,
  localhostSeccomp: undefined,
  allowedAnnotations: [],
  volumes: new Map(),
  ...init,
})
