// exec with a terminal: below a monitor of its own, which holds the terminal, collects the process and tells its status.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { abortable, delay } from '@coracle/base/signals'
import type { RuntimeContext } from '../context.ts'
import { bounded } from '../deadline.ts'
import { execArguments } from '../monitor/arguments.ts'
import { attachTo } from '../monitor/attach.ts'
import { Resizer } from '../monitor/control.ts'
import { awaitPid, launchMonitor, type WaitingMonitor } from '../monitor/launch.ts'
import type { AttachSession, ContainerPaths, ExecRequest, ExecSession } from '../oci-runtime.ts'
import { readRecord } from '../record.ts'
import { OciRuntimeError } from '../words.ts'
import { type ExecFiles, newExecFiles, removeExecFiles } from './files.ts'
import { applyOomScore } from './oom-score.ts'
import { identityText, killInside, wordsIn } from './session.ts'
import { endTree, stdioOf } from './tree.ts'

const lostExitCode = 255

export async function execUnderMonitor(
  ctx: RuntimeContext,
  { paths, request }: { readonly paths: ContainerPaths; readonly request: ExecRequest },
  signal: AbortSignal,
): Promise<ExecSession> {
  signal.throwIfAborted()
  mkdirSync(ctx.socketDirectory, { recursive: true, mode: 0o700 })
  const files = newExecFiles(paths)
  writeFileSync(files.process, JSON.stringify(request.process), { mode: 0o600 })
  const exec = {
    directory: files.directory,
    processFile: files.process,
    pidFile: files.pid,
    insidePidFile: files.inside,
    logFile: files.log,
    stdin: request.stdin,
  }
  const argv = execArguments(ctx, paths, exec)
  let monitor: WaitingMonitor | undefined
  try {
    monitor = await launchMonitor(ctx, { argv, cwd: files.directory, attach: true, terminal: true })
    recordOwner(ctx, files, monitor)
    const attempt = { paths, files, monitor, request }
    const limit = { signal, ms: ctx.timeouts.startMs, what: actionOf(paths) }
    return await bounded(limit, (until) => underMonitor(ctx, attempt, until))
  } catch (err) {
    if (monitor !== undefined) await abandon(ctx, { paths, files, monitor })
    const words = wordsIn(files)
    removeExecFiles(files)
    throw err instanceof OciRuntimeError && words !== '' ? new OciRuntimeError(actionOf(paths), words, err.exitCode) : err
  }
}

// The process may run already: a child of the monitor, whether or not that has said so.
async function abandon(ctx: RuntimeContext, { paths, files, monitor }: Omit<Attempt, 'request'>): Promise<void> {
  if (ctx.kind === 'runsc') await killInside(ctx, paths, files)
  const root = ctx.deps.processes.identify(monitor.child.pid)
  if (root !== undefined) await endTree(ctx.deps, { root, cgroup: readRecord(ctx, paths)?.cgroup, stdio: new Set() }, false)
  await monitor.child[Symbol.asyncDispose]()
}

const actionOf = (paths: ContainerPaths): string => `exec in container ${paths.id}`

function recordOwner(ctx: RuntimeContext, files: ExecFiles, monitor: WaitingMonitor): void {
  writeFileSync(files.owner, identityText(ctx.deps.processes.identify(monitor.child.pid)), { mode: 0o600 })
}

interface Attempt {
  readonly paths: ContainerPaths
  readonly files: ExecFiles
  readonly monitor: WaitingMonitor
  readonly request: ExecRequest
}

async function underMonitor(ctx: RuntimeContext, attempt: Attempt, signal: AbortSignal): Promise<ExecSession> {
  const { paths, files, monitor, request } = attempt
  const action = actionOf(paths)
  monitor.release()
  const ready = await abortable(monitor.attachable?.next() ?? Promise.resolve(undefined), signal)
  if (ready === undefined) throw new OciRuntimeError(action, monitor.complaint())
  const attached = await attachTo(ctx.deps.sockets, join(files.directory, 'attach'))
  try {
    monitor.release()
    const pid = await awaitPid(monitor, action, signal)
    applyOomScore(ctx, pid, request.process)
    return session(ctx, { paths, pid, files, monitor, attached, stdin: request.stdin })
  } catch (err) {
    attached[Symbol.dispose]()
    throw err
  }
}

interface Started {
  readonly paths: ContainerPaths
  readonly pid: number
  readonly files: ExecFiles
  readonly monitor: WaitingMonitor
  readonly attached: AttachSession
  readonly stdin: boolean
}

function session(ctx: RuntimeContext, { paths, pid, files, monitor, attached, stdin }: Started): ExecSession {
  const process = ctx.deps.processes.identify(pid)
  const stdio = new Set(stdioOf(pid))
  const stdout = Readable.from(dataOf(attached), { objectMode: false })
  const resizer = new Resizer(join(files.directory, 'ctl'))
  const exited = monitor.sync.next().then((report) => (report === undefined || report.value < 0 ? lostExitCode : report.value))
  void exited.then(async () => {
    // The monitor closes the attach socket when it ends, after the last output.
    const timer = new AbortController()
    await Promise.race([monitor.child.exited, delay(ctx.execDrainMs, timer.signal)]).finally(() => timer.abort())
    await monitor.child[Symbol.asyncDispose]()
    removeExecFiles(files)
  })
  const terminate = async (hangup: boolean) => {
    if (ctx.kind === 'runsc') await killInside(ctx, paths, files)
    await endTree(ctx.deps, { root: process ?? { pid, startTime: 0n }, cgroup: readRecord(ctx, paths)?.cgroup, stdio }, hangup)
    const timer = new AbortController()
    await Promise.race([exited, delay(1000, timer.signal)]).finally(() => timer.abort())
    await monitor.child[Symbol.asyncDispose]()
    attached[Symbol.dispose]()
    await exited
  }
  let terminating: Promise<void> | undefined
  stdout.once('close', () => attached[Symbol.dispose]())
  return {
    pid,
    stdin: stdin ? inputOf(attached) : undefined,
    stdout,
    stderr: undefined,
    exited,
    // The process may have ended meanwhile.
    resize: (size) => void resizer.resize(size).catch(() => {}),
    terminate: (hangup) => (terminating ??= terminate(hangup)),
  }
}

async function* dataOf(attached: AttachSession): AsyncGenerator<Buffer> {
  for await (const { data } of attached.output) yield data
}

function inputOf(attached: AttachSession): Writable {
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => void attached.write(chunk).then(() => done(), done),
    final: (done) => {
      attached.endInput()
      done()
    },
  })
  // The process may end before it has read everything.
  input.on('error', () => {})
  return input
}
