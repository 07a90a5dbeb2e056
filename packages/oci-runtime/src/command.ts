// The runtime's command line.
import { stage } from '@coracle/base/stages'
import type { RunResult } from '@coracle/host'
import type { RuntimeContext } from './context.ts'
import { cleanWords, OciRuntimeError } from './words.ts'

/** Arguments before the command, the same for every call so that all see one root. */
export function globalArguments(ctx: RuntimeContext): readonly string[] {
  return [`--root=${ctx.runtimeRoot}`, ...(ctx.cgroupDriver === 'systemd' ? ['--systemd-cgroup'] : []), ...ctx.extraArguments]
}

export interface CommandRequest {
  /** In front of the error: `start container abc`. */
  readonly action: string
  readonly args: readonly string[]
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly maxOutputBytes?: number
}

/** Runs one command of the runtime. Throws `OciRuntimeError` when it fails, `deadline_exceeded` when it hangs (its process group is killed). */
export async function command(ctx: RuntimeContext, request: CommandRequest): Promise<RunResult> {
  const result = await tryCommand(ctx, request)
  if (result.exitCode === 0) return result
  throw new OciRuntimeError(request.action, cleanWords(result.stderr.length > 0 ? result.stderr : result.stdout), result.exitCode)
}

/** As `command`, but a failure is a result. */
export function tryCommand(ctx: RuntimeContext, request: CommandRequest): Promise<RunResult> {
  return stage([`OCI ${request.args[0] ?? ''}`, `runtime ${ctx.handler} (${ctx.program})`], () =>
    ctx.deps.processes.run({
      argv: [ctx.program, ...globalArguments(ctx), ...request.args],
      env: ctx.env,
      timeoutMs: request.timeoutMs,
      signal: request.signal,
      maxOutputBytes: request.maxOutputBytes ?? 64 * 1024,
    }),
  )
}
