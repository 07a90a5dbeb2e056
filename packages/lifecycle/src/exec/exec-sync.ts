import { CodedError, codeOf, failed, precondition } from '@coracle/base/errors'
import { timeoutError } from '@coracle/base/signals'
import { stage } from '@coracle/base/stages'
import { execProcess } from '@coracle/container-spec'
import type { ExecSession } from '@coracle/oci-runtime'
import { endedMeanwhile } from '../container/ended.ts'
import { runtimeOf } from '../handlers.ts'
import { containerPaths } from '../layout.ts'
import { isRunning, type RunningContainer } from '../model/container.ts'
import type { Services } from '../services.ts'
import { Capture } from './capture.ts'
import { fitReply } from './fit.ts'

export interface ExecSyncRequest {
  readonly id: string
  readonly argv: readonly string[]
  /** 0: none. */
  readonly timeoutMs: number
}

export interface ExecSyncResult {
  readonly stdout: Buffer
  readonly stderr: Buffer
  readonly exitCode: number
}

/** After the process ended its output is read until it closes, is silent this long, or the limit has passed. */
const drainSilenceMs = 1000
const drainLimitMs = 15_000

/** What a timer of the platform takes; a longer one would fire at once. */
const longestTimerMs = 2 ** 31 - 1

/** Throws `not_found` or `failed_precondition` unless something may be started in the container. */
export function requireRunning(services: Services, id: string): RunningContainer {
  const container = services.containers.get(id)
  if (!isRunning(container)) throw precondition(`container ${container.id} is not running (${container.state.kind})`)
  if (services.stops.get(container.id)?.isKilling()) throw precondition(`container ${container.id} is being killed`)
  return container
}

/**
 * Runs a command in a running container and returns its output, at most 16 MiB of each stream. At the timeout, or when the caller
 * leaves, the whole process tree is killed first; then throws `deadline_exceeded`.
 */
export async function execSync(services: Services, request: ExecSyncRequest, signal: AbortSignal): Promise<ExecSyncResult> {
  const container = requireRunning(services, request.id)
  const timeout = request.timeoutMs > 0 ? AbortSignal.timeout(Math.min(request.timeoutMs, longestTimerMs)) : undefined
  const stop = timeout === undefined ? signal : AbortSignal.any([signal, timeout])
  const title = `exec ${JSON.stringify(request.argv[0] ?? '')} in container ${container.id}`
  try {
    const process = execProcess(container.made.process, { args: request.argv, terminal: false })
    const runtime = runtimeOf(services, container)
    const session = await stage(['OCI exec', `runtime ${runtime.handler} (${runtime.program})`], () =>
      runtime.exec(containerPaths(services.settings, container.id), { process, stdin: false }, stop),
    )
    return await stage(['command', request.argv[0] ?? ''], () => collect(session, stop))
  } catch (err) {
    if (timeout?.aborted && !signal.aborted)
      throw new CodedError('deadline_exceeded', title, { cause: timeoutError('command', request.timeoutMs) })
    // A command that is not there has nothing to do with the container's end; probes ask for it again and again.
    const isOurs = codeOf(err) !== 'failed_precondition'
    if (isOurs && !signal.aborted && (await endedMeanwhile(services, container))) {
      throw new CodedError('failed_precondition', `${title}: the container has ended`, { cause: err })
    }
    throw failed(title, err)
  }
}

async function collect(session: ExecSession, stop: AbortSignal): Promise<ExecSyncResult> {
  using stdout = new Capture(session.stdout)
  using stderr = new Capture(session.stderr)
  const { promise: stopped, resolve } = Promise.withResolvers<'stopped'>()
  const onStop = () => resolve('stopped')
  stop.addEventListener('abort', onStop, { once: true })
  if (stop.aborted) onStop()
  try {
    const exitCode = await Promise.race([session.exited, stopped])
    if (exitCode === 'stopped') {
      await session.terminate(false)
      throw stop.reason
    }
    const limit = performance.now() + drainLimitMs
    await Promise.all([stdout.drained(drainSilenceMs, limit), stderr.drained(drainSilenceMs, limit)])
    return { ...fitReply(stdout.bytes(), stderr.bytes()), exitCode }
  } finally {
    stop.removeEventListener('abort', onStop)
  }
}
