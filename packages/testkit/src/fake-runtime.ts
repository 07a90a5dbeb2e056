// An OCI runtime in memory: containers that start, end and are killed without a kernel. It outlives the daemon that uses it,
// as monitors do, so one fake can be handed to a second daemon to try recovery.
import { PassThrough, Readable } from 'node:stream'
import { notFound, precondition } from '@coracle/base/errors'
import type {
  AttachSession,
  ContainerPaths,
  CreateRequest,
  ExecRequest,
  ExecSession,
  Exit,
  OciRuntime,
  RuntimeFeatures,
} from '@coracle/oci-runtime'
import type { LinuxResources } from '@coracle/oci-spec/runtime-spec'

export type FakeOperation = 'create' | 'start' | 'kill' | 'delete' | 'exec' | 'update' | 'reopenLog' | 'attach'

export interface FakeExecResult {
  readonly stdout?: string
  readonly stderr?: string
  readonly exitCode?: number
  /** Runs until it is terminated. */
  readonly hangs?: boolean
}

export interface FakeContainer {
  readonly request: CreateRequest
  readonly pid: number
  readonly monitorPid: number
  readonly started: boolean
  readonly monitorAlive: boolean
  readonly exit: Exit | undefined
  readonly resources: LinuxResources
  readonly logReopened: number
}

export interface FakeRuntimeOptions {
  readonly handler?: string
  readonly features?: Partial<RuntimeFeatures>
  /** What exec'ed processes do. Default: exit 0 without output. */
  readonly exec?: (request: ExecRequest, id: string) => FakeExecResult
  /** Signals that containers do not end of. SIGKILL always works. Default: none. */
  readonly ignoredSignals?: readonly number[]
}

export interface FakeRuntime extends OciRuntime {
  /** Operations in order, as `create c1`. */
  readonly calls: readonly string[]
  container(id: string): FakeContainer | undefined
  readonly ids: readonly string[]
  /** Execs that have not ended. */
  readonly liveExecs: number
  /** Ends a started container by itself. */
  end(id: string, exitCode: number, oomKilled?: boolean): void
  /** The monitor dies, the container lives on; its exit code will be lost. */
  killMonitor(id: string): void
  /** The next `times` calls of this kind throw `error` without doing anything. */
  failNext(operation: FakeOperation, error: Error, times?: number): void
  /** Calls of this kind wait until the result is disposed. */
  hold(operation: FakeOperation): Disposable
}

const SIGKILL = 9
const lostExitCode = 255

interface Mutable {
  request: CreateRequest
  pid: number
  monitorPid: number
  started: boolean
  monitorAlive: boolean
  exit: Exit | undefined
  written: boolean
  resources: LinuxResources
  logReopened: number
  watchers: Set<(exit: Exit) => void>
  execs: Set<(exitCode: number) => void>
}

export function createFakeRuntime(options: FakeRuntimeOptions = {}): FakeRuntime {
  return new Fake(options)
}

class Fake implements FakeRuntime {
  readonly handler: string
  readonly program = '/fake/runtime'
  readonly sandboxed = false
  readonly compiledSeccomp = false
  readonly bindsDevices = false
  readonly losesSubmounts = true
  readonly calls: string[] = []
  readonly #options: FakeRuntimeOptions
  readonly #containers = new Map<string, Mutable>()
  readonly #failures = new Map<FakeOperation, Error[]>()
  readonly #holds = new Map<FakeOperation, Promise<void>>()
  #pid = 1000

  constructor(options: FakeRuntimeOptions) {
    this.#options = options
    this.handler = options.handler ?? 'fake'
  }

  get ids(): readonly string[] {
    return [...this.#containers.keys()]
  }

  get liveExecs(): number {
    return [...this.#containers.values()].reduce((sum, { execs }) => sum + execs.size, 0)
  }

  container(id: string): FakeContainer | undefined {
    return this.#containers.get(id)
  }

  failNext(operation: FakeOperation, error: Error, times = 1): void {
    this.#failures.set(operation, [...(this.#failures.get(operation) ?? []), ...Array<Error>(times).fill(error)])
  }

  hold(operation: FakeOperation): Disposable {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#holds.set(operation, promise)
    return {
      [Symbol.dispose]: () => {
        if (this.#holds.get(operation) === promise) this.#holds.delete(operation)
        resolve()
      },
    }
  }

  end(id: string, exitCode: number, oomKilled = false): void {
    this.#end(this.#get(id), exitCode, oomKilled)
  }

  killMonitor(id: string): void {
    this.#get(id).monitorAlive = false
  }

  async version(): Promise<string> {
    return '1.0.0-fake'
  }

  async features(): Promise<RuntimeFeatures> {
    return { recursiveReadOnlyMounts: true, mountOptions: ['ro', 'rro'], ...this.#options.features }
  }

  async create(request: CreateRequest, signal: AbortSignal) {
    await this.#enter('create', request.paths.id)
    signal.throwIfAborted()
    if (this.#containers.has(request.paths.id)) throw precondition(`container ${request.paths.id} exists`)
    const [pid, monitorPid] = [++this.#pid, ++this.#pid]
    this.#containers.set(request.paths.id, {
      ...{ request, pid, monitorPid, started: false, monitorAlive: true, exit: undefined, written: false },
      ...{ resources: request.spec.linux.resources, logReopened: 0, watchers: new Set(), execs: new Set() },
    })
    return { pid, monitorPid }
  }

  async start(paths: ContainerPaths): Promise<void> {
    await this.#enter('start', paths.id)
    const container = this.#get(paths.id)
    if (container.exit !== undefined || container.started) throw precondition(`container ${paths.id} is not created`)
    container.started = true
  }

  async kill(paths: ContainerPaths, signal: number): Promise<void> {
    await this.#enter('kill', paths.id)
    const container = this.#containers.get(paths.id)
    if (container === undefined || container.exit !== undefined) return
    if (signal === SIGKILL || !this.#options.ignoredSignals?.includes(signal)) this.#end(container, 128 + signal, false)
  }

  async delete(paths: ContainerPaths): Promise<void> {
    await this.#enter('delete', paths.id)
    const container = this.#containers.get(paths.id)
    if (container === undefined) return
    this.#end(container, 128 + SIGKILL, false)
    this.#containers.delete(paths.id)
  }

  inspect(paths: ContainerPaths) {
    const container = this.#containers.get(paths.id)
    if (container === undefined) return { monitorAlive: false, pid: undefined }
    const gone = container.exit !== undefined
    return { monitorAlive: container.monitorAlive && !gone, pid: gone ? undefined : container.pid }
  }

  async isStarted(paths: ContainerPaths): Promise<boolean> {
    return this.#containers.get(paths.id)?.started ?? false
  }

  readExit(paths: ContainerPaths): Exit | undefined {
    const container = this.#containers.get(paths.id)
    return container?.written ? container.exit : undefined
  }

  watchExit(paths: ContainerPaths, signal: AbortSignal, onExit: (exit: Exit) => void): void {
    const container = this.#containers.get(paths.id)
    if (signal.aborted) return
    const tell = (exit: Exit) => queueMicrotask(() => signal.aborted || onExit(exit))
    // Nothing known of it: as real monitors that left nothing behind.
    if (container === undefined) tell({ exitCode: lostExitCode, finishedAt: now(), oomKilled: false })
    else if (container.exit !== undefined) tell(container.exit)
    else container.watchers.add(tell)
  }

  async exec(paths: ContainerPaths, request: ExecRequest): Promise<ExecSession> {
    await this.#enter('exec', paths.id)
    const container = this.#get(paths.id)
    if (!container.started || container.exit !== undefined) throw precondition(`container ${paths.id} is not running`)
    const result = this.#options.exec?.(request, paths.id) ?? {}
    const { promise: exited, resolve } = Promise.withResolvers<number>()
    const settle = (exitCode: number) => {
      container.execs.delete(settle)
      resolve(exitCode)
    }
    container.execs.add(settle)
    if (!result.hangs) setImmediate(() => settle(result.exitCode ?? 0))
    return {
      pid: ++this.#pid,
      stdin: request.stdin ? new PassThrough().resume() : undefined,
      stdout: Readable.from(result.stdout === undefined ? [] : [Buffer.from(result.stdout)], { objectMode: false }),
      stderr: request.process.terminal
        ? undefined
        : Readable.from(result.stderr === undefined ? [] : [Buffer.from(result.stderr)], { objectMode: false }),
      exited,
      resize: () => {},
      terminate: async () => settle(128 + SIGKILL),
    }
  }

  async attach(paths: ContainerPaths): Promise<AttachSession> {
    await this.#enter('attach', paths.id)
    this.#alive(paths)
    return { output: (async function* () {})(), write: async () => {}, endInput: () => {}, [Symbol.dispose]: () => {} }
  }

  async resize(paths: ContainerPaths): Promise<void> {
    this.#alive(paths)
  }

  async update(paths: ContainerPaths, resources: LinuxResources): Promise<void> {
    await this.#enter('update', paths.id)
    const container = this.#alive(paths)
    container.resources = { ...container.resources, ...resources }
  }

  async reopenLog(paths: ContainerPaths): Promise<void> {
    await this.#enter('reopenLog', paths.id)
    const container = this.#alive(paths)
    if (!container.monitorAlive) throw precondition('the monitor of the container is gone')
    container.logReopened++
  }

  async sweepExecs(paths: ContainerPaths): Promise<void> {
    for (const settle of this.#containers.get(paths.id)?.execs ?? []) settle(128 + SIGKILL)
  }

  async #enter(operation: FakeOperation, id: string): Promise<void> {
    this.calls.push(`${operation} ${id}`)
    await this.#holds.get(operation)
    const failure = this.#failures.get(operation)?.shift()
    if (failure !== undefined) throw failure
  }

  #get(id: string): Mutable {
    const container = this.#containers.get(id)
    if (container === undefined) throw notFound(`container ${id} does not exist`)
    return container
  }

  #alive(paths: ContainerPaths): Mutable {
    const container = this.#get(paths.id)
    if (container.exit !== undefined) throw precondition(`container ${paths.id} has ended`)
    return container
  }

  #end(container: Mutable, exitCode: number, oomKilled: boolean): void {
    if (container.exit !== undefined) return
    container.written = container.monitorAlive
    const lost = !container.monitorAlive
    container.exit = { exitCode: lost ? lostExitCode : exitCode, finishedAt: now(), oomKilled }
    for (const settle of container.execs) settle(128 + SIGKILL)
    for (const tell of container.watchers) tell(container.exit)
    container.watchers.clear()
  }
}

const now = (): bigint => BigInt(Date.now()) * 1_000_000n
