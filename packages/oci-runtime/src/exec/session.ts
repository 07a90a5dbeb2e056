// exec as our child: the runtime's exit status is that of the process.
import { readFileSync, writeFileSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { unlessErrno } from '@coracle/base/errno'
import { logger } from '@coracle/base/log'
import { abortable, cleanupSignal, delay } from '@coracle/base/signals'
import type { ChildHandle, ProcessIdentity } from '@coracle/host'
import { globalArguments, tryCommand } from '../command.ts'
import type { RuntimeContext } from '../context.ts'
import { bounded } from '../deadline.ts'
import type { TerminalSize } from '../monitor/control.ts'
import type { ContainerPaths, ExecRequest, ExecSession } from '../oci-runtime.ts'
import { readPidFile, readRecord } from '../record.ts'
import { cleanWords, OciRuntimeError } from '../words.ts'
import type { DrainedOutput } from './drain.ts'
import { type ExecFiles, newExecFiles, removeExecFiles } from './files.ts'
import { applyOomScore } from './oom-score.ts'
import { exitOf } from './status.ts'
import { endTree, stdioOf } from './tree.ts'

// What a terminated process wrote last may still be in the pipe.
const terminatedDrainMs = 50

const log = logger('oci-runtime')

/** A runtime at work on an exec, and what we hold of it. */
export interface Running {
  readonly child: ChildHandle
  readonly stdin: Writable | undefined
  readonly stdout: DrainedOutput
  /** With a terminal: only what the runtime itself says. */
  readonly stderr: DrainedOutput
  readonly terminal: { resize(size: TerminalSize): void } | undefined
  /** Pipes made for it, as /proc/PID/fd names them. */
  readonly pipes: readonly string[]
}

export interface SpawnRequest {
  readonly paths: ContainerPaths
  readonly files: ExecFiles
  readonly stdin: boolean
  readonly signal: AbortSignal
}

export type Spawn = (ctx: RuntimeContext, request: SpawnRequest) => Promise<Running>

/** Starts the process by `spawn`. Throws `OciRuntimeError` when the runtime could not start it; then nothing is left. */
export async function execAsChild(
  ctx: RuntimeContext,
  exec: { readonly paths: ContainerPaths; readonly request: ExecRequest; readonly spawn: Spawn },
  signal: AbortSignal,
): Promise<ExecSession> {
  signal.throwIfAborted()
  const { paths, request } = exec
  const files = newExecFiles(paths)
  const limit = { signal, ms: ctx.timeouts.startMs, what: `exec in container ${paths.id}` }
  try {
    writeFileSync(files.process, JSON.stringify(request.process), { mode: 0o600 })
    const running = await bounded(limit, (until) => exec.spawn(ctx, { paths, files, stdin: request.stdin, signal: until }))
    try {
      // Now, before it has a child, which inherits it; and again when the runtime had its own idea.
      applyOomScore(ctx, running.child.pid, request.process)
      writeFileSync(files.owner, identityText(ctx.deps.processes.identify(running.child.pid)), { mode: 0o600 })
      const pid = await bounded(limit, (until) => abortable(started(running, files), until))
      if (pid === undefined) throw await startFailure(paths, files, running)
      applyOomScore(ctx, pid, request.process)
      return session(ctx, { paths, files, running, pid })
    } catch (err) {
      await endStarting(ctx, { paths, files, child: running.child, pipes: running.pipes })
      running.stdin?.destroy()
      running.stdout.close()
      running.stderr.close()
      throw err
    }
  } catch (err) {
    removeExecFiles(files)
    throw err
  }
}

export const identityText = (identity: ProcessIdentity | undefined): string =>
  JSON.stringify({ pid: identity?.pid, startTime: identity?.startTime.toString() })

/** The runtime's command line up to its options for stdio. */
export function execArguments(ctx: RuntimeContext, files: ExecFiles): readonly string[] {
  // runc copies output itself and does not end before all writers have: its log tells the status earlier.
  // crun's words go to the terminal when there is one.
  const debug = ctx.kind === 'runc' ? ['--debug', '--log-format=json'] : []
  const log = ctx.kind === 'runc' || ctx.kind === 'crun' ? [...debug, `--log=${files.log}`] : []
  // The pid file of gVisor names its client on the host; the process itself has a number only inside.
  const inside = ctx.kind === 'runsc' ? [`--internal-pid-file=${files.inside}`] : []
  return [...globalArguments(ctx), ...log, 'exec', ...inside, `--process=${files.process}`, `--pid-file=${files.pid}`]
}

// The runtime writes the pid file when the process runs. Looking is cheaper than a watch: it takes some milliseconds.
async function started(running: Running, files: ExecFiles): Promise<number | undefined> {
  let ended = false
  void running.child.exited.then(() => (ended = true))
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 1.2, 20)) {
    const over = ended
    const pid = readPidFile(files.pid)
    if (pid !== undefined) return pid
    if (over) return undefined
    await delay(waitMs)
  }
}

async function startFailure(paths: ContainerPaths, files: ExecFiles, running: Running): Promise<OciRuntimeError> {
  running.stdout.close()
  running.stderr.endWithin(200)
  const chunks: Buffer[] = []
  let bytes = 0
  // Bytes: no encoding was set.
  for await (const chunk of running.stderr.stream as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes < 64 * 1024) chunks.push(chunk)
  }
  const { exitCode } = await running.child.exited
  const words = cleanWords(Buffer.concat(chunks)) || wordsIn(files)
  return new OciRuntimeError(`exec in container ${paths.id}`, words, exitCode)
}

/** The process lives in the sandbox: killing gVisor's client on the host would only hide it. */
export async function killInside(ctx: RuntimeContext, paths: ContainerPaths, files: ExecFiles): Promise<void> {
  const pid = readPidFile(files.inside)
  if (pid === undefined) return
  const args = ['kill', `--pid=${pid}`, paths.id, '9']
  const request = { action: 'kill exec', args, timeoutMs: ctx.timeouts.killMs, signal: cleanupSignal(ctx.timeouts.killMs) }
  await tryCommand(ctx, request).catch((err: unknown) => log.warn('exec in sandbox was not killed', { container: paths.id, err }))
}

/** What the runtime wrote to its log. */
export const wordsIn = (files: ExecFiles): string =>
  cleanWords(unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(files.log), ''))

/**
 * Ends a runtime that may or may not have started its process, with everything that came of it. The process leads a session of its own:
 * to kill the runtime alone would leave it to run.
 */
export async function endStarting(
  ctx: RuntimeContext,
  { paths, files, child, pipes }: Pick<SpawnRequest, 'paths' | 'files'> & Pick<Running, 'child' | 'pipes'>,
): Promise<void> {
  if (ctx.kind === 'runsc') await killInside(ctx, paths, files)
  // What it started is its child, whether or not it has said so.
  const root = ctx.deps.processes.identify(child.pid) ?? { pid: child.pid, startTime: 0n }
  await endTree(ctx.deps, { root, cgroup: readRecord(ctx, paths)?.cgroup, stdio: new Set(pipes) }, false)
  await child[Symbol.asyncDispose]()
}

interface Started {
  readonly paths: ContainerPaths
  readonly files: ExecFiles
  readonly running: Running
  readonly pid: number
}

function session(ctx: RuntimeContext, { paths, files, running, pid }: Started): ExecSession {
  const { child, stdin, stdout, stderr } = running
  const process = ctx.deps.processes.identify(pid)
  const exited = exitOf(ctx, { child, pid, process, log: files.log })
  // runc gives the process pipes of its own.
  const stdio = new Set([...running.pipes, ...stdioOf(pid)])
  let terminating: Promise<void> | undefined
  const finished = exited.then(async () => {
    stdin?.destroy()
    stdout.endWithin(ctx.execDrainMs)
    stderr.endWithin(ctx.execDrainMs)
    await Promise.all([stdout.closed, stderr.closed])
    // A runtime that still copies for somebody else's benefit has nobody to copy to.
    await child[Symbol.asyncDispose]()
    removeExecFiles(files)
  })
  finished.catch((err: unknown) => log.warn('exec was not cleaned up', { container: paths.id, err }))
  const terminate = async (hangup: boolean) => {
    if (ctx.kind === 'runsc') await killInside(ctx, paths, files)
    const tree = { root: process ?? { pid, startTime: 0n }, cgroup: readRecord(ctx, paths)?.cgroup, stdio }
    await endTree(ctx.deps, tree, hangup)
    // The runtime collects the process and ends with its status; one that does not is killed with it.
    const timer = new AbortController()
    await Promise.race([exited, delay(1000, timer.signal)]).finally(() => timer.abort())
    await child[Symbol.asyncDispose]()
    await Promise.race([finished, delay(terminatedDrainMs)])
    stdout.close()
    stderr.close()
    await finished
  }
  return {
    pid,
    stdin,
    stdout: stdout.stream,
    stderr: running.terminal === undefined ? stderr.stream : undefined,
    exited,
    resize: (size) => running.terminal?.resize(size),
    terminate: (hangup) => (terminating ??= terminate(hangup)),
  }
}
