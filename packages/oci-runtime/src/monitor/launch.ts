// Starts a conmon that waits, records it, lets it go, and hears how it went.
import type { Duplex, Readable } from 'node:stream'
import { abortable } from '@coracle/base/signals'
import type { ChildHandle } from '@coracle/host'
import type { RuntimeContext } from '../context.ts'
import { cleanWords, OciRuntimeError } from '../words.ts'
import { attachFd, monitorEnv, startFd, syncFd } from './arguments.ts'
import { SyncPipe } from './sync-pipe.ts'

/** A conmon that has not done anything yet. */
export interface WaitingMonitor {
  readonly child: ChildHandle
  readonly sync: SyncPipe
  /** Where it says that its attach socket is there; only of execs. */
  readonly attachable: SyncPipe | undefined
  /** Lets it go on by one step. */
  release(): void
  /** What it wrote before it left its parent's stderr, cleaned. */
  complaint(): string
  /** Closes our ends; the monitor lives on. */
  leave(): void
}

export interface LaunchRequest {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly attach: boolean
  readonly terminal: boolean
}

export async function launchMonitor(ctx: RuntimeContext, request: LaunchRequest): Promise<WaitingMonitor> {
  const child = await ctx.deps.processes.start({
    // The first element is conmon's path.
    argv: request.argv as [string, ...string[]],
    env: monitorEnv(ctx, request),
    cwd: request.cwd,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', ...(request.attach ? (['pipe'] as const) : [])],
  })
  // These were asked for as pipes.
  const stderr = child.stdio[2] as Readable
  const start = child.stdio[startFd] as Duplex
  let complaint = ''
  stderr.setEncoding('utf8').on('data', (text: string) => {
    if (complaint.length < 16 * 1024) complaint += text
  })
  stderr.on('error', () => {})
  start.on('error', () => {})
  const sync = new SyncPipe(child.stdio[syncFd] as Duplex)
  return {
    child,
    sync,
    attachable: request.attach ? new SyncPipe(child.stdio[attachFd] as Duplex) : undefined,
    release: () => void start.write('\n'),
    complaint: () => cleanWords(complaint),
    leave() {
      for (const stream of child.stdio) stream?.destroy()
    },
  }
}

/** The pid that the monitor reports. Throws `OciRuntimeError` with the runtime's words, or the monitor's own. */
export async function awaitPid(monitor: WaitingMonitor, action: string, signal: AbortSignal): Promise<number> {
  const report = await abortable(monitor.sync.next(), signal)
  if (report !== undefined && report.value > 0) return report.value
  if (report?.message !== undefined) throw new OciRuntimeError(action, cleanWords(report.message))
  const { exitCode } = await abortable(monitor.child.exited, signal)
  throw new OciRuntimeError(action, monitor.complaint(), exitCode)
}
