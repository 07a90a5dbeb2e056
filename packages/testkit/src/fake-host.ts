// A host in memory: no root, no kernel. It keeps what would exist, records every call, and fails where it is told to.
import { mkdirSync, rmSync } from 'node:fs'
import { CodedError, precondition } from '@coracle/base/errors'
import type {
  CgroupMode,
  Cgroups,
  CgroupUsage,
  FileType,
  HeldPath,
  Host,
  InterfaceCounters,
  MountInfo,
  Mounts,
  NamespacePins,
  Paths,
  Processes,
  ProcessIdentity,
  RunRequest,
  RunResult,
  Sockets,
  Stats,
} from '@coracle/host'

export interface FakeHostOptions {
  readonly cgroupMode?: CgroupMode
  /** Answers `processes.run`. Default: every program ends with 0 and says nothing. */
  readonly run?: (request: RunRequest) => Promise<RunResult> | RunResult
}

export interface FakeHost extends Host {
  /** `mounts.mount /run/x`, in order. */
  readonly calls: string[]
  /** The next call with this name, such as `namespaces.pin`, throws. */
  failNext(call: string, error: Error): void
  /** What the machine holds now: pin directories, mount targets, cgroups. */
  readonly pins: ReadonlyMap<string, readonly string[]>
  readonly mountTargets: ReadonlyMap<string, MountInfo>
  readonly cgroupPaths: ReadonlySet<string>
  /** What `paths.hold` opened and nobody has let go. */
  readonly held: ReadonlySet<string>
  /** Living processes by pid; add and remove at will. */
  readonly living: Map<number, bigint>
  /** What `paths` finds; directories made are added. */
  readonly files: Map<string, { readonly type: FileType; readonly content?: Buffer }>
  /** Answers of `mounts.propagationOf`, by path. Default private. */
  readonly propagation: Map<string, 'private' | 'shared' | 'slave'>
  /** Answers of `cgroups.oomKills`, by path. */
  readonly oomKills: Map<string, number>
  /** Answers of `stats.usage`, by cgroup path. Default: no such cgroup. */
  readonly usages: Map<string, CgroupUsage>
  /** Answers of `stats.interfaces`, by path of the namespace. Default: none. */
  readonly interfaces: Map<string, readonly InterfaceCounters[]>
  /** Answers of `paths.diskUsages` in bytes, by path. */
  readonly diskBytes: Map<string, bigint>
  /** As after a reboot: nothing that lives in the kernel is left, and the boot id is another. */
  reboot(): void
}

class World {
  readonly calls: string[] = []
  readonly pins = new Map<string, readonly string[]>()
  readonly mountTargets = new Map<string, MountInfo>()
  readonly held = new Set<string>()
  readonly cgroups = new Map<string, Set<number>>()
  readonly living = new Map<number, bigint>()
  readonly files: FakeHost['files'] = new Map()
  readonly propagation: FakeHost['propagation'] = new Map()
  readonly oomKills = new Map<string, number>()
  readonly usages = new Map<string, CgroupUsage>()
  readonly interfaces = new Map<string, readonly InterfaceCounters[]>()
  readonly diskBytes = new Map<string, bigint>()
  readonly failures = new Map<string, Error[]>()
  boots = 1
  lastId = 1

  call(name: string, detail = ''): void {
    this.calls.push(detail === '' ? name : `${name} ${detail}`)
    const error = this.failures.get(name)?.shift()
    if (error !== undefined) throw error
  }

  die(pid: number): void {
    this.living.delete(pid)
    for (const members of this.cgroups.values()) members.delete(pid)
  }
}

export function createFakeHost(options: FakeHostOptions = {}): FakeHost {
  const world = new World()
  return {
    calls: world.calls,
    failNext: (call, error) => world.failures.set(call, [...(world.failures.get(call) ?? []), error]),
    pins: world.pins,
    mountTargets: world.mountTargets,
    get cgroupPaths() {
      return new Set(world.cgroups.keys())
    },
    held: world.held,
    living: world.living,
    files: world.files,
    propagation: world.propagation,
    oomKills: world.oomKills,
    usages: world.usages,
    interfaces: world.interfaces,
    diskBytes: world.diskBytes,
    reboot() {
      for (const held of [world.pins, world.mountTargets, world.cgroups, world.living]) held.clear()
      world.boots++
    },
    mounts: fakeMounts(world),
    namespaces: fakeNamespaces(world),
    cgroups: fakeCgroups(world, options.cgroupMode ?? 'v2'),
    processes: fakeProcesses(world, options),
    paths: fakePaths(world),
    sockets: fakeSockets(),
    stats: fakeStats(world),
    // Only a kernel can tell.
    isolation: { read: () => undefined, hostNamespaces: () => ({}), namespaceAt: () => undefined },
  }
}

const isBelow = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`)

function fakeMounts(world: World): Mounts {
  return {
    mount({ type, source, destination, options }) {
      world.call('mounts.mount', destination)
      const id = ++world.lastId
      world.mountTargets.set(destination, {
        id,
        parent: 1,
        root: '/',
        target: destination,
        options,
        propagation: [],
        type,
        source,
      })
    },
    async mountClone({ source, destination, usernsPath }) {
      world.call('mounts.mountClone', `${source} ${destination}`)
      // Whoever cleans up looks for it.
      mkdirSync(destination, { recursive: true })
      const id = ++world.lastId
      const options = usernsPath === undefined ? [] : ['idmapped', usernsPath]
      world.mountTargets.set(destination, {
        ...{ id, parent: 1, root: '/', target: destination, options, propagation: [], type: 'none', source },
      })
    },
    enclose(directory) {
      world.call('mounts.enclose', directory)
      mkdirSync(directory, { recursive: true })
    },
    async dissolve(directory) {
      world.call('mounts.dissolve', directory)
      for (const path of [...world.mountTargets.keys()]) if (isBelow(path, directory)) world.mountTargets.delete(path)
      rmSync(directory, { recursive: true, force: true })
    },
    spread: () => [],
    detach(target) {
      world.call('mounts.detach', target)
      for (const path of [...world.mountTargets.keys()]) if (isBelow(path, target)) world.mountTargets.delete(path)
    },
    async unmount(target) {
      world.call('mounts.unmount', target)
      world.mountTargets.delete(target)
    },
    async unmountBelow(directory) {
      world.call('mounts.unmountBelow', directory)
      for (const target of [...world.mountTargets.keys()]) if (isBelow(target, directory)) world.mountTargets.delete(target)
    },
    list: () => [...world.mountTargets.values()],
    isMountPoint: (path) => world.mountTargets.has(path),
    propagationOf: ({ path }) => world.propagation.get(path) ?? 'private',
    async syncFileSystem(path) {
      world.call('mounts.syncFileSystem', path)
    },
  }
}

function fakeNamespaces(world: World): NamespacePins {
  return {
    pin({ directory, kinds, userMappings }) {
      world.call('namespaces.pin', directory)
      if (world.pins.has(directory)) throw new CodedError('already_exists', `${directory} is pinned already`)
      world.pins.set(directory, userMappings === undefined ? kinds : [...kinds, 'user'])
    },
    async unpin(directory) {
      world.call('namespaces.unpin', directory)
      world.pins.delete(directory)
    },
    isPinned: (directory, kind) => world.pins.get(directory)?.includes(kind) ?? false,
    setSysctls: (netnsPath) => world.call('namespaces.setSysctls', netnsPath),
    async dial(netnsPath, address, port) {
      world.call('namespaces.dial', `${netnsPath} ${address} ${port}`)
      throw new CodedError('unavailable', `connect to ${address} port ${port}`)
    },
  }
}

function fakeCgroups(world: World, mode: CgroupMode): Cgroups {
  const below = (path: string) => [...world.cgroups].filter(([name]) => isBelow(name, path))
  const members = (path: string) => below(path).flatMap(([, pids]) => [...pids])
  return {
    mode,
    controllers: new Set(['cpu', 'cpuset', 'memory', 'pids', 'hugetlb']),
    swapAccounting: true,
    ensure(path) {
      world.call('cgroups.ensure', path)
      if (world.cgroups.has(path)) return false
      world.cgroups.set(path, new Set())
      return true
    },
    exists: (path) => world.cgroups.has(path),
    removeIfEmpty: (path) => void (below(path).length === 1 && world.cgroups.delete(path)),
    async remove(path) {
      world.call('cgroups.remove', path)
      if (members(path).length > 0) throw new CodedError('unavailable', `cgroup ${path} is busy`)
      for (const [name] of below(path)) world.cgroups.delete(name)
    },
    addProcess(path, pid) {
      world.call('cgroups.addProcess', `${path} ${pid}`)
      const pids = world.cgroups.get(path)
      if (pids === undefined) throw new CodedError('internal', `cgroup ${path} does not exist`)
      for (const others of world.cgroups.values()) others.delete(pid)
      pids.add(pid)
    },
    processes: members,
    async kill(path) {
      world.call('cgroups.kill', path)
      for (const pid of members(path)) world.die(pid)
    },
    oomKills: (path) => world.oomKills.get(path) ?? 0,
    keepLimits: () => ({ restore: () => [] }),
    setLimit: (path, { file, value }) => world.call('cgroups.setLimit', `${path} ${file} ${value}`),
    pathOf: (pid) => [...world.cgroups].find(([, pids]) => pids.has(pid))?.[0],
  }
}

const ended: RunResult = { exitCode: 0, signal: null, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), truncated: false }

function fakeProcesses(world: World, options: FakeHostOptions): Processes {
  const isAlive = ({ pid, startTime }: ProcessIdentity) => world.living.get(pid) === startTime
  const needsKernel = (what: string): never => {
    throw new CodedError('unimplemented', `${what} needs a real host`)
  }
  return {
    async run(request) {
      world.call('processes.run', request.argv.join(' '))
      return options.run?.(request) ?? ended
    },
    async start(request) {
      world.call('processes.start', request.argv.join(' '))
      return needsKernel('start')
    },
    pipe: () => needsKernel('pipe'),
    identify(pid) {
      const startTime = world.living.get(pid)
      return startTime === undefined ? undefined : { pid, startTime }
    },
    isAlive,
    receives: () => true,
    signal(process, signal) {
      world.call('processes.signal', `${process.pid} ${signal}`)
      if (!isAlive(process)) return false
      if (signal === 9) world.die(process.pid)
      return true
    },
    async waitForExit(process, signal) {
      while (isAlive(process)) {
        signal.throwIfAborted()
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    },
    descendants: () => [],
    setOomScoreAdj: isAlive,
    stuck: () => 0,
    bootId: () => `00000000-0000-4000-8000-${String(world.boots).padStart(12, '0')}`,
  }
}

function fakePaths(world: World): Paths {
  const holding = (path: string): HeldPath => {
    const type = world.files.get(path)?.type
    if (type === undefined) throw precondition(`open ${path}: ENOENT`)
    world.held.add(path)
    return { fd: -1, path, type, realPath: () => path, [Symbol.dispose]: () => void world.held.delete(path) }
  }
  const inRoot = (root: string, path: string) => `${root}/${path}`.replace(/\/+/g, '/').replace(/(.)\/$/, '$1')
  const makeDirectory = (path: string) => {
    const found = world.files.get(path)
    if (found !== undefined && found.type !== 'directory') throw precondition(`${path} must be a directory`)
    world.files.set(path, { type: 'directory' })
  }
  return {
    async probe(paths) {
      world.call('paths.probe', paths.join(' '))
      return paths.map((path) => ({ path, type: world.files.get(path)?.type, major: 0, minor: 0 }))
    },
    hold: async (found) => found.map(({ path }) => holding(path)),
    holdBeneath: (root, path) => (world.files.has(inRoot(root, path)) ? holding(inRoot(root, path)) : undefined),
    async makeDirectory(path) {
      world.call('paths.makeDirectory', path)
      makeDirectory(path)
    },
    readInRoot: (root, path) => world.files.get(inRoot(root, path))?.content,
    typeInRoot: (root, path) => world.files.get(inRoot(root, path))?.type,
    makeDirectoryInRoot: (root, path) => makeDirectory(inRoot(root, path)),
    async removeTree(path) {
      world.call('paths.removeTree', path)
      const mounted = [...world.mountTargets.keys()].find((target) => isBelow(target, path))
      if (mounted !== undefined) throw precondition(`${mounted} must not be removed: something is mounted there`)
      for (const file of [...world.files.keys()]) if (isBelow(file, path)) world.files.delete(file)
    },
    diskUsage: async (path) => ({ usedBytes: world.diskBytes.get(path) ?? 0n, inodes: 0n }),
    async diskUsages(paths) {
      world.call('paths.diskUsages', paths.join(' '))
      return new Map(paths.map((path) => [path, { usedBytes: world.diskBytes.get(path) ?? 0n, inodes: 1n }]))
    },
  }
}

function fakeSockets(): Sockets {
  const refuse = async (): Promise<never> => {
    throw new CodedError('unavailable', 'sockets need a real host')
  }
  return { connectSeqpacket: refuse, receiveFd: refuse, setTerminalSize() {} }
}

function fakeStats(world: World): Stats {
  return {
    usage: (path) => world.usages.get(path),
    details: () => ({
      ...{ cpuUserNs: 0, cpuSystemNs: 0, periods: 0, throttledPeriods: 0, throttledNs: 0 },
      ...{ cpuPeriodUs: 100_000, cpuQuotaUs: 0, cpuShares: 1024, memoryFailures: 0, memoryMaxUsageBytes: 0 },
      ...{ kernelBytes: 0, softLimitBytes: 0, tasksMax: 0, oomKills: 0, hugePages: [], devices: [] },
    }),
    interfaces: (path) => world.interfaces.get(path) ?? [],
    processCounts: async (path) => ({ processes: world.cgroups.get(path)?.size ?? 0, fileDescriptors: 0, sockets: 0 }),
    fileSystem: () => ({ device: '/dev/fake', totalBytes: 0, inodes: 0, freeInodes: 0 }),
    openFilesLimit: () => undefined,
  }
}
