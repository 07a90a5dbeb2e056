// The services of pods and containers on a machine made of fakes; the machine outlives the services, as a real one outlives the daemon.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { KeyedLock } from '@coracle/base/keyed-lock'
import { configureLog } from '@coracle/base/log'
import { SingleFlight } from '@coracle/base/single-flight'
import { type ContainerConfig, ContainerConfigSchema, type PodSandboxConfig, PodSandboxConfigSchema } from '@coracle/cri-api'
import { containerConfigCodec, podConfigCodec } from '@coracle/cri-server'
import { openDatabase, Records, type Services } from '@coracle/lifecycle'
import type { OciRuntime } from '@coracle/oci-runtime'
import { createFakeCni, type FakeCni } from './fake-cni.ts'
import { createFakeHost, type FakeHost } from './fake-host.ts'
import { createFakeImages, type FakeImages } from './fake-images.ts'
import { createFakeRuntime, type FakeRuntime, type FakeRuntimeOptions } from './fake-runtime.ts'

export const testImage = 'registry.example/app:1'

export interface TestMachine {
  /** Below it are the root and the state directory. */
  readonly directory: string
  readonly host: FakeHost
  readonly runtime: FakeRuntime
  readonly images: FakeImages
  readonly cni: FakeCni
}

export interface TestServices extends AsyncDisposable {
  readonly machine: TestMachine
  readonly services: Services
  /** The daemon goes without a word, as by SIGKILL; a new one opens the same database. It has not recovered yet. */
  restart(changes?: RestartOptions): TestServices
}

export interface RestartOptions {
  /** Runtime handlers that the new daemon knows. Default: the fake one, which is the default handler. */
  readonly runtimes?: ReadonlyMap<string, OciRuntime>
  readonly retiredRuntimes?: ReadonlyMap<string, OciRuntime>
}

export interface TestServicesOptions {
  readonly runtime?: FakeRuntimeOptions
  readonly settings?: Partial<Services['settings']>
}

/** Never for real: only what the tests of life cycles look at matters. */
const facts: Services['facts'] = {
  ...{ cgroupMode: 'v2', cgroupDriver: 'cgroupfs', controllers: new Set(['cpu', 'cpuset', 'memory', 'pids']) },
  ...{ swapAccounting: true, capabilities: ['CAP_CHOWN', 'CAP_KILL'], seccomp: false, apparmor: false, selinux: false },
  ...{ lowerOomScore: true, oomScoreAdj: 0, hugepageSizes: [], recursiveReadOnly: true, userNamespaces: true },
  nofile: { soft: 1024, hard: 4096 },
}

export function testServices(options: TestServicesOptions = {}): TestServices {
  configureLog({ write: () => {} })
  const directory = mkdtempSync(join(tmpdir(), 'coracle-services-'))
  const host = createFakeHost()
  const forget = host.paths.removeTree
  // The code under test also makes real files: they go with the fake ones.
  Object.assign(host.paths, {
    removeTree: async (path: string) => {
      await forget(path)
      rmSync(path, { recursive: true, force: true })
    },
  })
  const machine: TestMachine = {
    ...{ directory, host, runtime: createFakeRuntime(options.runtime) },
    ...{ images: createFakeImages(join(directory, 'rootfs'), testImage), cni: createFakeCni() },
  }
  return openServices(machine, options, {})
}

function openServices(machine: TestMachine, options: TestServicesOptions, changes: RestartOptions): TestServices {
  const { directory, host, runtime, images, cni } = machine
  const shutdown = new AbortController()
  const db = openDatabase(join(directory, 'records.db'))
  const services: Services = {
    pods: new Records(db, { table: 'pods', noun: 'pod sandbox', codec: podConfigCodec }),
    containers: new Records(db, { table: 'containers', noun: 'container', codec: containerConfigCodec }),
    ...{ host, facts, images, cni, devicesAt: () => [], hostDevices: () => [], cdi: undefined },
    apparmor: undefined,
    selinux: undefined,
    runtimes: changes.runtimes ?? new Map([[runtime.handler, runtime]]),
    retiredRuntimes: changes.retiredRuntimes ?? new Map(),
    handlerSettings: () => ({
      allowedAnnotations: [],
      privilegedWithoutHostDevices: false,
      recursiveReadOnly: true,
      mountOptions: new Set(['noexec', 'nodev', 'nosuid']),
    }),
    settings: {
      rootDirectory: join(directory, 'root'),
      stateDirectory: join(directory, 'state'),
      ...{ defaultRuntime: runtime.handler, initProgram: '/usr/bin/init', monitorCgroup: undefined },
      ...{ defaultCgroupParent: '/coracle', probeTimeoutMs: 1000, unsetSeccomp: 'unconfined', unclaimedMs: 120_000 },
      ownDevices: false,
      absentSourcesToReject: [],
      ...options.settings,
    },
    ...{ podLocks: new KeyedLock(), containerLocks: new KeyedLock() },
    ...{ podFlights: new SingleFlight(), containerFlights: new SingleFlight(), startFlights: new SingleFlight() },
    ...{ stops: new Map(), exits: new Map(), afterExit: new Map(), afterCreate: new Map() },
    shutdown: shutdown.signal,
  }
  let open = true
  const close = () => {
    shutdown.abort(new Error('the daemon stops'))
    if (open) db[Symbol.dispose]()
    open = false
  }
  return {
    machine,
    services,
    restart(next = {}) {
      close()
      return openServices(machine, options, next)
    },
    async [Symbol.asyncDispose]() {
      // What runs in the background gets a moment to see that it is over.
      shutdown.abort(new Error('the daemon stops'))
      await new Promise((resolve) => setImmediate(resolve))
      close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

type PodInit = Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, PodSandboxConfig>
type ContainerInit = Exclude<MessageInitShape<typeof ContainerConfigSchema>, ContainerConfig>

/** A pod with a network of its own whose containers have their own PID namespaces. */
export function podConfig(name: string, init: PodInit = {}): PodSandboxConfig {
  return create(PodSandboxConfigSchema, {
    metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
    linux: { securityContext: { namespaceOptions: { pid: 1 } } },
    ...init,
  })
}

export function containerConfig(name: string, init: ContainerInit = {}): ContainerConfig {
  return create(ContainerConfigSchema, {
    metadata: { name, attempt: 0 },
    image: { image: testImage },
    command: ['/bin/app'],
    linux: { securityContext: { namespaceOptions: { pid: 1 } } },
    ...init,
  })
}
