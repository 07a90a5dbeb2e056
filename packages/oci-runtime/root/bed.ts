// A bed for real containers: a busybox root file system, one runtime, and a check that nothing is left.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createHost } from '@coracle/host'
import type { LinuxResources, Process, RuntimeSpec } from '@coracle/oci-spec/runtime-spec'
import { belong, makeOwnDirectory } from '@coracle/testkit/belongings'
import { eventually } from '@coracle/testkit/eventually'
import {
  type ContainerPaths,
  type CreateRequest,
  createOciRuntime,
  type Exit,
  type OciRuntime,
  type OciRuntimeOptions,
} from '../src/mod.ts'

export const runtimes = ['crun', 'runc'].flatMap((name) => {
  const program = locate(name)
  return program === undefined ? [] : [{ name, program }]
})

export function locate(name: string): string | undefined {
  return ['/usr/bin', '/usr/sbin', '/usr/local/bin'].map((directory) => join(directory, name)).find((path) => existsSync(path))
}

export const never = new AbortController().signal

export interface Made {
  readonly paths: ContainerPaths
  readonly pid: number
  readonly monitorPid: number
  readonly exit: Promise<Exit>
  log(): string
}

export interface MakeOptions {
  readonly args: readonly string[]
  readonly request?: Partial<CreateRequest>
  readonly resources?: LinuxResources
  readonly spec?: Partial<RuntimeSpec>
  readonly process?: Partial<Process>
}

export class Bed {
  readonly directory = makeOwnDirectory('coracle-oci-')
  readonly host = createHost()
  readonly runtime: OciRuntime
  readonly rootfs = join(this.directory, 'rootfs')
  readonly cgroupParent = `/coracle-test-${randomBytes(4).toString('hex')}`
  readonly #cgroupOwned = belong({ kind: 'cgroup', path: this.cgroupParent })
  readonly #made: ContainerPaths[] = []
  // Watching for exits does not keep a process alive; a test that waits for one must.
  readonly #awake = setInterval(() => {}, 60_000)
  #serial = 0

  constructor(program: string, options: Partial<OciRuntimeOptions> = {}) {
    this.runtime = this.runtimeWith({ program, ...options })
    makeRootfs(this.rootfs)
  }

  /** Another daemon's view on the same containers. */
  runtimeWith(options: Partial<OciRuntimeOptions> & { program: string }): OciRuntime {
    return createOciRuntime(
      {
        handler: 'test',
        conmonPath: '/usr/bin/conmon',
        runtimeRoot: join(this.directory, 'r'),
        cgroupDriver: 'cgroupfs',
        ...options,
      },
      this.host,
    )
  }

  paths(id = `c${++this.#serial}-${randomBytes(4).toString('hex')}`): ContainerPaths {
    return { id, bundle: join(this.directory, 'bundles', id), state: join(this.directory, 'state', id) }
  }

  spec(id: string, options: MakeOptions): RuntimeSpec {
    return {
      ociVersion: '1.0.2',
      process: processOf(options.args, { terminal: options.request?.terminal ?? false, ...options.process }),
      root: { path: this.rootfs, readonly: true },
      hostname: 'box',
      mounts: standardMounts,
      annotations: {},
      linux: {
        namespaces: (['pid', 'mount', 'ipc', 'uts', 'network'] as const).map((type) => ({ type })),
        cgroupsPath: `${this.cgroupParent}/${id}`,
        resources: { devices: [{ allow: true, access: 'rwm' }], ...options.resources },
        maskedPaths: [],
        readonlyPaths: [],
      },
      ...options.spec,
    }
  }

  async create(options: MakeOptions): Promise<Made> {
    const paths = options.request?.paths ?? this.paths()
    this.#made.push(paths)
    const logPath = join(this.directory, 'logs', `${paths.id}.log`)
    const { pid, monitorPid } = await this.runtime.create(
      {
        paths,
        spec: this.spec(paths.id, options),
        logPath,
        stdin: false,
        stdinOnce: false,
        terminal: false,
        monitorCgroup: undefined,
        ...options.request,
      },
      never,
    )
    const exit = Promise.withResolvers<Exit>()
    this.runtime.watchExit(paths, never, exit.resolve)
    return { paths, pid, monitorPid, exit: exit.promise, log: () => readFileSync(logPath, 'utf8') }
  }

  async run(options: MakeOptions): Promise<Made> {
    const made = await this.create(options)
    await this.runtime.start(made.paths, never)
    return made
  }

  /** What the kernel enforces now. */
  limits(id: string): { readonly memory: number; readonly shares: number } {
    const cgroup = `${this.cgroupParent}/${id}`
    const read = (path: string) => Number(readFileSync(path, 'utf8'))
    if (this.host.cgroups.mode === 'v2') {
      const weight = read(`/sys/fs/cgroup${cgroup}/cpu.weight`)
      // The conversion that runtimes use between the two scales.
      return { memory: read(`/sys/fs/cgroup${cgroup}/memory.max`), shares: Math.round(2 + ((weight - 1) * 262142) / 9999) }
    }
    return {
      memory: read(`/sys/fs/cgroup/memory${cgroup}/memory.limit_in_bytes`),
      shares: read(`/sys/fs/cgroup/cpu${cgroup}/cpu.shares`),
    }
  }

  /** As `run`, but not before the container has written `ready`. */
  async runReady(options: MakeOptions): Promise<Made> {
    const made = await this.run(options)
    await eventually('container is ready', () => made.log().includes(' ready'), { intervalMs: 5 })
    return made
  }

  /** Deletes all containers, then fails if a process, cgroup or file of theirs is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const paths of this.#made) await this.runtime.delete(paths)
    clearInterval(this.#awake)
    const left = processesWith(this.directory)
    const root = join(this.directory, 'r')
    const records = existsSync(root) ? readdirSync(root) : []
    const files = this.#made.flatMap(({ state }) => (existsSync(state) ? readdirSync(state) : []))
    const cgroups = this.#made.filter(({ id }) => this.host.cgroups.exists(`${this.cgroupParent}/${id}`))
    await this.host.cgroups.remove(this.cgroupParent)
    this.#cgroupOwned.release()
    rmSync(this.directory, { recursive: true, force: true })
    assert.deepEqual({ left, records, files, cgroups }, { left: [], records: [], files: [], cgroups: [] })
  }
}

/** Command lines of living processes that name `word`, without our own. */
export function processesWith(word: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== `${process.pid}`)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((line) => line.includes(word))
}

function makeRootfs(rootfs: string): void {
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
  assert.ok(busybox, 'busybox-static is installed')
  for (const directory of ['bin', 'proc', 'dev', 'sys', 'tmp', 'etc']) mkdirSync(join(rootfs, directory), { recursive: true })
  copyFileSync(busybox, join(rootfs, 'bin/busybox'))
  chmodSync(join(rootfs, 'bin/busybox'), 0o755)
  for (const name of [
    'sh',
    'sleep',
    'echo',
    'cat',
    'true',
    'false',
    'seq',
    'dd',
    'head',
    'tail',
    'stty',
    'yes',
    'printf',
    'tr',
    'setsid',
    'nohup',
    'kill',
    'ps',
    'id',
    'ls',
    'awk',
    'test',
    'date',
    'mkdir',
    'mount',
    'usleep',
    'wc',
    'grep',
    'env',
  ])
    symlinkSync('busybox', join(rootfs, 'bin', name))
}

export function processOf(args: readonly string[], change: Partial<Process> = {}): Process {
  const caps = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SETGID', 'CAP_NET_BIND_SERVICE']
  return {
    terminal: false,
    user: { uid: 0, gid: 0, additionalGids: [] },
    args,
    env: ['PATH=/bin', 'TERM=xterm'],
    cwd: '/',
    capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] },
    noNewPrivileges: true,
    ...change,
  }
}

const standardMounts: RuntimeSpec['mounts'] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] },
  { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777'] },
]
