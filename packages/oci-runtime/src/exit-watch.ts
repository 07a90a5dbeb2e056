// How a container's end becomes known. Three witnesses, because each can fail: the exit file (inotify may overflow), the end of
// the monitor (it may be killed), and a sweep that looks at everything.
import { type FSWatcher, watch } from 'node:fs'
import { nowNs } from '@coracle/base/clock'
import { logger } from '@coracle/base/log'
import type { ProcessIdentity } from '@coracle/host'
import type { RuntimeContext } from './context.ts'
import { readExit } from './exit-file.ts'
import type { ContainerPaths, Exit } from './oci-runtime.ts'
import { wasOomKilled } from './oom.ts'
import { type ContainerRecord, readRecord } from './record.ts'

const log = logger('oci-runtime')

/** The exit code when nobody can tell it. */
const lostExitCode = 255
const sweepMs = 2000
// A look reads files of /proc: a thousand at once would hold up every call.
const looksAtOnce = 32
// A monitor writes the exit file before it ends; a file seen this late after both ended is none.
const graceMs = 1000
// init is gone and the monitor says nothing: it may be stopped, then it is woken, later killed.
const silentMonitorMs = 3000
const stuckMonitorMs = 10_000

const SIGKILL = 9
const SIGCONT = 18

/** Sweeps all watched containers with one timer, a few at a time. */
export class ExitWatch {
  readonly #ctx: RuntimeContext
  readonly #watched = new Set<Watched>()
  /** Those that this sweep has not come to yet. */
  #rest: Watched[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(ctx: RuntimeContext) {
    this.#ctx = ctx
  }

  watch(paths: ContainerPaths, signal: AbortSignal, onExit: (exit: Exit) => void): void {
    if (signal.aborted) return
    const watched = new Watched(this.#ctx, paths, onExit)
    const stop = () => {
      signal.removeEventListener('abort', stop)
      watched.close()
      this.#watched.delete(watched)
      if (this.#watched.size === 0) this.#endSweeps()
    }
    watched.stopped = stop
    signal.addEventListener('abort', stop, { once: true })
    this.#watched.add(watched)
    if (this.#timer === undefined) this.#schedule()
    watched.start()
  }

  #schedule(): void {
    const slices = Math.ceil(this.#watched.size / looksAtOnce)
    this.#timer = setTimeout(() => this.#look(), sweepMs / slices).unref()
  }

  #look(): void {
    if (this.#rest.length === 0) this.#rest = [...this.#watched]
    for (const watched of this.#rest.splice(-looksAtOnce)) watched.look()
    if (this.#watched.size === 0) this.#endSweeps()
    else this.#schedule()
  }

  #endSweeps(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#rest = []
  }

  get size(): number {
    return this.#watched.size
  }
}

class Watched {
  readonly #ctx: RuntimeContext
  readonly #paths: ContainerPaths
  readonly #onExit: (exit: Exit) => void
  #files: FSWatcher | undefined
  #grace: NodeJS.Timeout | undefined
  #closed = false
  #initGoneAt: number | undefined
  #record: ContainerRecord | undefined
  stopped: () => void = () => {}

  constructor(ctx: RuntimeContext, paths: ContainerPaths, onExit: (exit: Exit) => void) {
    this.#ctx = ctx
    this.#paths = paths
    this.#onExit = onExit
  }

  start(): void {
    try {
      this.#files = watch(this.#paths.state, { persistent: false }, (_event, name) => {
        if (name === 'exit') this.#check()
      })
      this.#files.on('error', () => this.#files?.close())
    } catch (err) {
      // No inotify watches left, or no directory: the sweep still sees everything.
      log.warn('container directory cannot be watched', { container: this.#paths.id, err })
    }
    void this.#ctx.monitors.get(this.#paths.id)?.exited.then(() => this.look())
    // What happened before the watch was set.
    queueMicrotask(() => this.#check() || this.look())
  }

  close(): void {
    this.#closed = true
    this.#files?.close()
    clearTimeout(this.#grace)
  }

  look(): void {
    if (this.#closed || this.#grace !== undefined) return
    const monitorAlive = this.#monitorAlive()
    const initAlive = this.#isAlive(this.#processes()?.init)
    if (initAlive) this.#initGoneAt = undefined
    // The file is looked for only when something has ended: sweeps over many containers must cost nothing.
    if ((initAlive && monitorAlive) || this.#check() || initAlive) return
    if (monitorAlive) this.#prod()
    else this.#grace = setTimeout(() => this.#lost(), graceMs).unref()
  }

  #monitorAlive(): boolean {
    // A child that has not been collected is there.
    return this.#ctx.monitors.has(this.#paths.id) || this.#isAlive(this.#processes()?.monitor)
  }

  #isAlive(process: ProcessIdentity | undefined): boolean {
    return process !== undefined && this.#ctx.deps.processes.isAlive(process)
  }

  #processes(): ContainerRecord | undefined {
    if (this.#record?.init === undefined) this.#record = readRecord(this.#ctx, this.#paths)
    return this.#record
  }

  #check(): boolean {
    if (this.#closed) return true
    const exit = readExit(this.#ctx, this.#paths)
    if (exit !== undefined) this.#tell(exit)
    return exit !== undefined
  }

  // The init process is gone, the monitor alive and silent.
  #prod(): void {
    const { processes } = this.#ctx.deps
    const monitor = this.#processes()?.monitor
    this.#initGoneAt ??= performance.now()
    const silentMs = performance.now() - this.#initGoneAt
    if (monitor === undefined || silentMs < silentMonitorMs) return
    if (silentMs > stuckMonitorMs)
      log.warn('monitor says nothing of the end of its container: killed', { container: this.#paths.id })
    processes.signal(monitor, silentMs > stuckMonitorMs ? SIGKILL : SIGCONT)
  }

  #lost(): void {
    if (this.#check()) return
    log.warn('container ended without its monitor: exit code lost', { container: this.#paths.id })
    const oomKilled = wasOomKilled(this.#ctx, this.#paths, this.#processes())
    this.#tell({ exitCode: lostExitCode, finishedAt: nowNs(), oomKilled })
  }

  #tell(exit: Exit): void {
    this.stopped()
    this.#onExit(exit)
  }
}
