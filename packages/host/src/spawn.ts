// Child processes that cannot be forgotten: explicit environment and fds, killed with their group, always collected.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { errnoOf } from '@coracle/base/errno'
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { abortable, delay, timeoutError } from '@coracle/base/signals'
import { OutputCapture } from './capture.ts'
import type { ChildHandle, RunRequest, RunResult, StartRequest } from './host.ts'

const defaultEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' } as const

// After its end a process's output may still be in the pipe; a grandchild may hold the pipe open for ever.
const drainMs = 500
// A killed process that is stuck in the kernel is left behind after this.
const collectMs = 1000

let stuck = 0

/** Programs that were killed and have not ended. */
export const uncollected = (): number => stuck

type Ended = Awaited<ChildHandle['exited']>
type Argv = readonly [string, ...string[]]

export async function start(request: StartRequest): Promise<ChildHandle> {
  const detached = request.detached ?? true
  const child = await launch(request.argv, {
    cwd: request.cwd ?? '/',
    env: request.env ?? defaultEnv,
    stdio: [...request.stdio],
    detached,
  })
  return handleOf(child, detached)
}

export async function run(request: RunRequest): Promise<RunResult> {
  request.signal.throwIfAborted()
  const stdin = request.stdin === undefined ? 'ignore' : 'pipe'
  await using child = await start({ ...request, stdio: [stdin, 'pipe', 'pipe'] })
  const limit = request.maxOutputBytes ?? 1024 * 1024
  // fds 1 and 2 were asked for as pipes.
  const stdout = new OutputCapture(child.stdio[1] as Readable, limit)
  const stderr = new OutputCapture(child.stdio[2] as Readable, limit)
  if (request.stdin !== undefined) feed(child.stdio[0] as Writable, request.stdin)
  const { exitCode, signal } = await untilExit(child, request)
  await atMost(drainMs, Promise.all([stdout.ended, stderr.ended]))
  return { exitCode, signal, stdout: stdout.take(), stderr: stderr.take(), truncated: stdout.truncated || stderr.truncated }
}

async function untilExit(child: ChildHandle, request: RunRequest): Promise<Ended> {
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(timeoutError(request.argv[0], request.timeoutMs)), request.timeoutMs)
  try {
    return await abortable(child.exited, AbortSignal.any([request.signal, timeout.signal]))
  } finally {
    clearTimeout(timer)
  }
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController()
  // The timer must not outlive the work: thousands of them would.
  await Promise.race([work, delay(ms, timer.signal)]).finally(() => timer.abort())
}

function feed(stdin: Writable, data: string | Uint8Array): void {
  // A program need not read its input: EPIPE is no failure of ours.
  stdin.on('error', () => {})
  stdin.end(data)
}

interface Launch {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioOptions
  readonly detached: boolean
}

function launch(argv: Argv, options: Launch): Promise<ChildProcess> {
  const [program, ...args] = argv
  if (!program.startsWith('/')) throw invalid(`program ${quote(program)} must be an absolute path`)
  const { promise, resolve, reject } = Promise.withResolvers<ChildProcess>()
  const refuse = (err: unknown) => reject(new CodedError(startErrorCode(err), `start ${program}`, { cause: err }))
  try {
    const child = spawn(program, args, options)
    child.once('error', refuse)
    // Later errors (a signal that could not be sent) have nobody to tell; without a listener they would end the daemon.
    child.on('error', () => {})
    child.once('spawn', () => resolve(child))
  } catch (err) {
    refuse(err)
  }
  return promise
}

// Never `not_found`: callers read that as the absence of the container.
function startErrorCode(err: unknown) {
  const errno = errnoOf(err)
  if (errno === 'EAGAIN' || errno === 'ENOMEM' || errno === 'EMFILE' || errno === 'ENFILE') return 'resource_exhausted'
  if (errno === 'E2BIG' || errno?.startsWith('ERR_INVALID_ARG')) return 'invalid_argument'
  return errno === 'ENOENT' || errno === 'EACCES' || errno === 'ENOTDIR' ? 'failed_precondition' : 'internal'
}

function handleOf(child: ChildProcess, detached: boolean): ChildHandle {
  // A started process has a pid.
  const pid = child.pid as number
  const { promise: exited, resolve } = Promise.withResolvers<Ended>()
  child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }))
  const kill = (signal: NodeJS.Signals | number): boolean => {
    // Until it is collected the pid (and so the group's number) cannot belong to anybody else.
    if (child.exitCode !== null || child.signalCode !== null) return false
    try {
      return process.kill(detached ? -pid : pid, signal)
    } catch (err) {
      if (errnoOf(err) === 'ESRCH') return false
      throw err
    }
  }
  return {
    pid,
    stdio: child.stdio,
    exited,
    kill,
    unref() {
      child.unref()
      // A socket of its own each; the type of Writable does not say so.
      for (const stream of child.stdio)
        if (stream !== null && stream !== undefined && 'unref' in stream) (stream as Socket).unref()
    },
    async [Symbol.asyncDispose]() {
      if (kill('SIGKILL')) {
        stuck++
        void exited.then(() => stuck--)
        await atMost(collectMs, exited)
      }
      for (const stream of child.stdio) stream?.destroy()
      child.unref()
    },
  }
}
