// The exit status of an exec'ed process as its runtime tells it.
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { unlessErrno } from '@coracle/base/errno'
import { delay } from '@coracle/base/signals'
import type { ChildHandle, Host, ProcessIdentity } from '@coracle/host'
import type { RuntimeContext } from '../context.ts'

const lostExitCode = 255
const watchMs = 50
// An orderly runtime ends with its process.
const graceMs = 100

export interface RunningExec {
  readonly child: ChildHandle
  readonly pid: number
  /** Undefined when it ended at once. */
  readonly process: ProcessIdentity | undefined
  /** The runtime's log, of runc only. */
  readonly log: string
}

/** Never rejects. */
export async function exitOf(ctx: RuntimeContext, exec: RunningExec): Promise<number> {
  const byRuntime = exec.child.exited.then(({ exitCode, signal }) => exitCode ?? signalCode(signal))
  return ctx.kind === 'runc' ? Promise.race([byRuntime, byLog(ctx.deps, exec)]) : byRuntime
}

const signalCode = (signal: string | null): number =>
  signal !== null && signal in constants.signals ? 128 + constants.signals[signal as NodeJS.Signals] : lostExitCode

// runc waits for the ends of the output it copies, which a grandchild may hold. What it saw is in its log.
async function byLog({ processes }: Pick<Host, 'processes'>, { child, pid, process, log }: RunningExec): Promise<number> {
  let ended = false
  void child.exited.then(() => (ended = true))
  while (!ended && process !== undefined && processes.isAlive(process)) await delay(watchMs)
  for (let waited = 0; !ended; waited += watchMs) {
    await delay(waited < graceMs ? graceMs : watchMs)
    const text = unlessErrno(['ENOENT', 'ENOTDIR'], () => readFileSync(log, 'utf8'), '')
    const status = parseStatus(text, pid)
    if (status !== undefined) return status
  }
  return new Promise(() => {})
}

/** The status in a line `{"level":"debug","msg":"process exited","pid":12,"status":3}` of runc's log. */
export function parseStatus(log: string, pid: number): number | undefined {
  for (const line of log.split('\n')) {
    if (!line.includes('"process exited"')) continue
    try {
      const entry = JSON.parse(line) as { pid?: unknown; status?: unknown }
      if (entry.pid === pid && typeof entry.status === 'number') return entry.status
    } catch {
      // A line still being written.
    }
  }
  return undefined
}
