// Child processes that cannot be forgotten: explicit environment and fds, killed with their group, always collected.
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { errnoOf } from '@coracle/base/errno'
import { CodedError, type ErrorCode, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { abortable, delay, timeoutError } from '@coracle/base/signals'
import { OutputCapture } from './capture.ts'
import type { ChildHandle, RunRequest, RunResult, StartRequest } from './host.ts'
import { posixSpawn, type SpawnPlan } from './posix-spawn.ts'
import { collect, type Ended, isCollected, release } from './reaper.ts'
import { type ChildStdio, prepareStdio } from './stdio.ts'

const defaultEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' } as const

// After its end a process's output may still be in the pipe; a grandchild may hold the pipe open for ever.
const drainMs = 500
// A killed process that is stuck in the kernel is left behind after this.
const collectMs = 1000

let stuck = 0

/** Programs that were killed and have not ended. */
export const uncollected = (): number => stuck

export async function start(request: StartRequest): Promise<ChildHandle> {
  const [path] = request.argv
  const env = request.env ?? defaultEnv
  const cwd = request.cwd ?? '/'
  checkStrings(request, env, cwd)
  const newSession = request.detached ?? true
  const stdio = prepareStdio(request.stdio)
  const pid = started(stdio, { path, argv: request.argv, env, cwd, fds: stdio.fds, newSession })
  const exited = collect(pid)
  stdio.closeTheirs()
  return handleOf({ pid, exited, streams: stdio.openOurs(), leadsGroup: newSession })
}

function started(stdio: ChildStdio, plan: SpawnPlan): number {
  try {
    return posixSpawn(plan)
  } catch (err) {
    stdio.closeAll()
    throw new CodedError(startErrorCode(err), `start ${plan.path}`, { cause: err })
  }
}

// The kernel would cut a string at its NUL.
function checkStrings(request: StartRequest, env: Readonly<Record<string, string>>, cwd: string): void {
  const [path] = request.argv
  if (!path.startsWith('/')) throw invalid(`program ${quote(path)} must be an absolute path`)
  const bad = [...request.argv, ...Object.entries(env).flat(), cwd].find((text) => text.includes('\0'))
  if (bad !== undefined) throw invalid(`argument ${quote(bad)} of ${quote(path)} must not contain NUL`)
  const name = Object.keys(env).find((key) => key === '' || key.includes('='))
  if (name !== undefined) throw invalid(`environment name ${quote(name)} of ${quote(path)} must not be empty or contain "="`)
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

// Never `not_found`: callers read that as the absence of the container.
function startErrorCode(err: unknown): ErrorCode {
  const errno = errnoOf(err)
  if (errno === 'EAGAIN' || errno === 'ENOMEM' || errno === 'EMFILE' || errno === 'ENFILE') return 'resource_exhausted'
  if (errno === 'E2BIG') return 'invalid_argument'
  return errno === 'ENOENT' || errno === 'EACCES' || errno === 'ENOTDIR' || errno === 'ENOEXEC'
    ? 'failed_precondition'
    : 'internal'
}

interface Started {
  readonly pid: number
  readonly exited: Promise<Ended>
  readonly streams: readonly (Socket | null)[]
  readonly leadsGroup: boolean
}

function handleOf({ pid, exited, streams, leadsGroup }: Started): ChildHandle {
  const kill = (signal: NodeJS.Signals | number): boolean => {
    // Until it is collected the pid (and so the group's number) cannot belong to anybody else.
    if (isCollected(pid)) return false
    try {
      return process.kill(leadsGroup ? -pid : pid, signal)
    } catch (err) {
      if (errnoOf(err) === 'ESRCH') return false
      throw err
    }
  }
  // Output that nobody has asked for is read away at the end, so that its pipe closes.
  void exited.then(() => {
    for (const stream of streams) if (stream?.readable && stream.readableFlowing === null) stream.resume()
  })
  return {
    pid,
    stdio: streams,
    exited,
    kill,
    unref() {
      release(pid)
      for (const stream of streams) stream?.unref()
    },
    async [Symbol.asyncDispose]() {
      if (kill('SIGKILL')) {
        stuck++
        void exited.then(() => stuck--)
        await atMost(collectMs, exited)
      }
      for (const stream of streams) stream?.destroy()
      release(pid)
    },
  }
}
