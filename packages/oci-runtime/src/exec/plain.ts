// exec without a terminal: the runtime is our child, its stdio are pipes, its exit status that of the process.
import { closeSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { abortable, delay } from '@coracle/base/signals'
import type { ChildHandle, ProcessIdentity } from '@coracle/host'
import { globalArguments } from '../command.ts'
import type { RuntimeContext } from '../context.ts'
import type { ContainerPaths, ExecRequest, ExecSession } from '../oci-runtime.ts'
import { readPidFile, readRecord } from '../record.ts'
import { cleanWords, OciRuntimeError } from '../words.ts'
import { type DrainedOutput, drainedOutput } from './drain.ts'
import { type ExecFiles, newExecFiles, removeExecFiles } from './files.ts'
import { exitOf } from './status.ts'
import { endTree, pipeName, stdioOf } from './tree.ts'

// What a terminated process wrote last may still be in the pipe.
const terminatedDrainMs = 50

interface Running {
  readonly child: ChildHandle
  readonly stdin: Writable | undefined
  readonly stdout: DrainedOutput
  readonly stderr: DrainedOutput
  readonly pipes: readonly string[]
}

export async function execPlain(
  ctx: RuntimeContext,
  paths: ContainerPaths,
  request: ExecRequest,
  signal: AbortSignal,
): Promise<ExecSession> {
  signal.throwIfAborted()
  const files = newExecFiles(paths)
  try {
    const running = await spawn(ctx, paths, files, request)
    try {
      writeFileSync(files.owner, identityText(ctx.deps.processes.identify(running.child.pid)), { mode: 0o600 })
      const pid = await abortable(started(running, files), signal)
      if (pid === undefined) throw await startFailure(paths, running)
      return session(ctx, { paths, files, running, pid })
    } catch (err) {
      await abandon(ctx, { paths, files, running })
      throw err
    }
  } catch (err) {
    removeExecFiles(files)
    throw err
  }
}

const identityText = (identity: ProcessIdentity | undefined): string =>
  JSON.stringify({ pid: identity?.pid, startTime: identity?.startTime.toString() })

async function spawn(ctx: RuntimeContext, paths: ContainerPaths, files: ExecFiles, request: ExecRequest): Promise<Running> {
  const { processes } = ctx.deps
  writeFileSync(files.process, JSON.stringify(request.process), { mode: 0o600 })
  // Real pipes, not the sockets of child_process: a process in the container may open /dev/stdout again.
  const theirs: number[] = []
  const ours: number[] = []
  const pipe = (mine: 'read' | 'write') => {
    const ends = processes.pipe()
    theirs.push(mine === 'read' ? ends.write : ends.read)
    ours.push(ends[mine])
    return { ours: ends[mine], theirs: mine === 'read' ? ends.write : ends.read }
  }
  try {
    const stdin = request.stdin ? pipe('write') : undefined
    const stdout = pipe('read')
    const stderr = pipe('read')
    const child = await processes.start({
      argv: [ctx.program, ...execArguments(ctx, paths, files)],
      env: ctx.env,
      stdio: [stdin?.theirs ?? 'ignore', stdout.theirs, stderr.theirs],
    })
    const pipes = theirs.map(pipeName)
    return {
      child,
      pipes,
      stdin: stdin && writer(stdin.ours),
      stdout: drainedOutput(stdout.ours),
      stderr: drainedOutput(stderr.ours),
    }
  } catch (err) {
    for (const fd of ours) closeSync(fd)
    throw err
  } finally {
    for (const fd of theirs) closeSync(fd)
  }
}

function execArguments(ctx: RuntimeContext, paths: ContainerPaths, files: ExecFiles): readonly string[] {
  // runc copies output itself and does not end before all writers have: its log tells the status earlier.
  const log = ctx.kind === 'runc' ? ['--debug', `--log=${files.log}`, '--log-format=json'] : []
  return [...globalArguments(ctx), ...log, 'exec', `--process=${files.process}`, `--pid-file=${files.pid}`, paths.id]
}

function writer(fd: number): Writable {
  const socket = new Socket({ fd, readable: false, writable: true })
  // A process need not read its input.
  socket.on('error', () => {})
  return socket
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

async function startFailure(paths: ContainerPaths, running: Running): Promise<OciRuntimeError> {
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
  return new OciRuntimeError(`exec in container ${paths.id}`, cleanWords(Buffer.concat(chunks)), exitCode)
}

async function abandon(ctx: RuntimeContext, { paths, files, running }: Omit<Started, 'pid'>): Promise<void> {
  const pid = readPidFile(files.pid)
  const root = pid === undefined ? undefined : ctx.deps.processes.identify(pid)
  if (root !== undefined)
    await endTree(ctx.deps, { root, cgroup: readRecord(ctx, paths)?.cgroup, stdio: new Set(running.pipes) }, false)
  running.stdin?.destroy()
  running.stdout.close()
  running.stderr.close()
  await running.child[Symbol.asyncDispose]()
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
  const terminate = async (hangup: boolean) => {
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
    stderr: stderr.stream,
    exited,
    resize: () => {},
    terminate: (hangup) => (terminating ??= terminate(hangup)),
  }
}
