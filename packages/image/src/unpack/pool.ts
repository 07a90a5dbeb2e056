// The daemon's side of the unpack workers: started when there is work, told what to do, ended when idle, replaced when they die.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { CodedError } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import type { ChildHandle, Processes } from '@coracle/host'
import { type Command, fromPlain, type LayerJob, lineReader, type Reply, type UnpackedLayer } from './messages.ts'

export interface PoolOptions {
  readonly processes: Pick<Processes, 'start'>
  readonly stagingDirectory: string
  /** Where interrupted downloads are kept. Absent: they are not. */
  readonly downloadsDirectory?: string
  /** Directories of finished layers, for jobs that name the layers below. */
  readonly layerDirectories?: readonly string[]
  /** For compiled code of the worker. */
  readonly cacheDirectory: string
  readonly maxWorkers: number
  readonly idleMs: number
}

export interface UnpackPool {
  /** Unpacks in a worker. A canceled job rejects at once; `settled` of the handle tells when its directory is no longer written to. */
  unpack(job: LayerJob, call: JobCall): JobHandle
  /** Starts a worker if there is none, so that it is ready when the work comes. */
  warm(): void
  load(): { readonly running: number; readonly jobs: number }
  /** Kills the workers; work in flight fails. */
  close(): Promise<void>
}

export interface JobCall {
  readonly onProgress: (downloadedBytes: number) => void
  /** Many small files wait to be written to the disk: the sooner that begins, the less is left for the end. */
  readonly onFiles: () => void
  readonly signal: AbortSignal
}

export interface JobHandle {
  readonly result: Promise<UnpackedLayer>
  readonly settled: Promise<void>
}

const log = logger('image')
const program = fileURLToPath(new URL('./worker.ts', import.meta.url))
// A worker that does not answer a cancellation in this time is killed.
const cancelMs = 3000
const maxStderrBytes = 8192
// Starting a worker takes as long as unpacking about this much: less is given to one that runs.
const worthAWorkerBytes = 16 * 1024 * 1024

interface Pending {
  readonly resolve: (layer: UnpackedLayer) => void
  readonly reject: (reason: unknown) => void
  readonly settle: () => void
  readonly onProgress: (downloadedBytes: number) => void
  readonly onFiles: () => void
}

class UnpackWorker {
  readonly jobs = new Map<number, Pending>()
  readonly #child: Promise<ChildHandle>
  readonly #onEnd: (worker: UnpackWorker) => void
  #stderr = ''
  idleTimer: NodeJS.Timeout | undefined
  /** Compressed bytes of the layers in work. */
  pendingBytes = 0

  readonly hasFileThread: boolean

  constructor(options: PoolOptions, hasFileThread: boolean, onEnd: (worker: UnpackWorker) => void) {
    this.#onEnd = onEnd
    this.hasFileThread = hasFileThread
    this.#child = options.processes.start({
      argv: [process.execPath, '--disable-warning=ExperimentalWarning', '--max-semi-space-size=1', program],
      stdio: ['pipe', 'pipe', 'pipe'],
      // Compiling all modules anew takes longer than unpacking a small layer.
      env: { NODE_COMPILE_CACHE: options.cacheDirectory },
    })
    this.#child.then(
      (child) => this.#attach(child),
      (err) => this.#ended(err),
    )
    const { stagingDirectory, downloadsDirectory, layerDirectories } = options
    this.send({
      type: 'start',
      stagingDirectory,
      ...(downloadsDirectory === undefined ? {} : { downloadsDirectory }),
      hasFileThread,
      ...(layerDirectories === undefined ? {} : { layerDirectories }),
    })
  }

  send(command: Command): void {
    void this.#child.then(
      (child) => {
        const stdin = child.stdio[0]
        if (stdin && 'write' in stdin && !stdin.destroyed) stdin.write(`${JSON.stringify(command)}\n`)
      },
      () => {},
    )
  }

  async kill(): Promise<void> {
    clearTimeout(this.idleTimer)
    const child = await this.#child.catch(() => undefined)
    await child?.[Symbol.asyncDispose]()
  }

  #attach(child: ChildHandle): void {
    const [stdin, stdout, stderr] = child.stdio
    stdin?.on('error', () => {})
    stdout?.on(
      'data',
      lineReader<Reply>((reply) => this.#receive(reply)),
    )
    stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-maxStderrBytes)
    })
    void child.exited.then(({ exitCode, signal }) => {
      const last = this.#stderr.trim().split('\n').slice(-3).join(' / ')
      this.#ended(
        new CodedError(
          'unavailable',
          `unpack worker ended (${signal ?? `exit code ${exitCode}`})${last === '' ? '' : `: ${last}`}`,
        ),
      )
    })
  }

  #receive(reply: Reply) {
    if (reply.type === 'ready') return
    const job = this.jobs.get(reply.id)
    if (job === undefined) return
    if (reply.type === 'progress') return job.onProgress(reply.downloadedBytes)
    if (reply.type === 'files') return job.onFiles()
    if (reply.type === 'done') job.resolve(reply.layer)
    else job.reject(fromPlain(reply.error))
    job.settle()
  }

  #ended(reason: unknown): void {
    clearTimeout(this.idleTimer)
    for (const job of [...this.jobs.values()]) {
      job.reject(reason)
      job.settle()
    }
    this.#onEnd(this)
  }
}

export function createUnpackPool(options: PoolOptions): UnpackPool {
  const workers = new Set<UnpackWorker>()
  let nextId = 1

  const add = (): UnpackWorker => {
    // One has the second thread: with two layers in work all cores have enough to do.
    const hasFileThread = availableParallelism() > 1 && ![...workers].some((worker) => worker.hasFileThread)
    const worker = new UnpackWorker(options, hasFileThread, (ended) => workers.delete(ended))
    workers.add(worker)
    return worker
  }
  const workerFor = ({ blob }: LayerJob): UnpackWorker => {
    const [first] = [...workers].sort((a, b) => a.pendingBytes - b.pendingBytes)
    if (first === undefined) return add()
    const isWorthOne = blob.size > worthAWorkerBytes / 8 && first.pendingBytes + blob.size > worthAWorkerBytes
    return first.jobs.size > 0 && isWorthOne && workers.size < options.maxWorkers ? add() : first
  }
  const endWhenIdle = (worker: UnpackWorker): void => {
    clearTimeout(worker.idleTimer)
    if (worker.jobs.size > 0) return
    worker.idleTimer = setTimeout(() => {
      // No new work goes to it from here on.
      workers.delete(worker)
      void worker.kill()
    }, options.idleMs).unref()
  }

  return {
    unpack(job, { onProgress, onFiles, signal }) {
      const id = nextId++
      const worker = workerFor(job)
      clearTimeout(worker.idleTimer)
      const { promise: result, resolve, reject } = Promise.withResolvers<UnpackedLayer>()
      const { promise: settled, resolve: settle } = Promise.withResolvers<void>()
      const onAbort = () => {
        reject(signal.reason)
        worker.send({ type: 'cancel', id })
        const timer = setTimeout(() => void worker.kill(), cancelMs)
        void settled.then(() => clearTimeout(timer))
      }
      worker.pendingBytes += job.blob.size
      worker.jobs.set(id, {
        resolve,
        reject,
        onProgress,
        onFiles,
        settle() {
          signal.removeEventListener('abort', onAbort)
          worker.jobs.delete(id)
          worker.pendingBytes -= job.blob.size
          endWhenIdle(worker)
          settle()
        },
      })
      worker.send({ type: 'unpack', id, job })
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
      return { result, settled }
    },
    warm() {
      for (const worker of workers) endWhenIdle(worker)
      if (workers.size === 0) endWhenIdle(add())
    },
    load: () => ({ running: workers.size, jobs: [...workers].reduce((sum, { jobs }) => sum + jobs.size, 0) }),
    async close() {
      await Promise.all([...workers].map((worker) => worker.kill()))
      log.debug('unpack workers ended')
    },
  }
}
