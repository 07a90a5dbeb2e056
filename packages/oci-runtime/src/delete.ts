import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { cleanupSignal, delay } from '@coracle/base/signals'
import type { ProcessIdentity } from '@coracle/host'
import { tryCommand } from './command.ts'
import type { RuntimeContext } from './context.ts'
import { sweepExecs } from './exec/sweep.ts'
import { leftoversOf } from './files.ts'
import { killHard } from './kill.ts'
import type { ContainerPaths } from './oci-runtime.ts'
import { type ContainerRecord, readRecord } from './record.ts'
import { cleanWords, OciRuntimeError } from './words.ts'

const log = logger('oci-runtime')
const SIGKILL = 9
// An orderly monitor ends some milliseconds after its container.
const monitorEndMs = 2000
// A killed process that is not stuck in the kernel.
const killedEndMs = 2000

/** Idempotent: each step takes "absent" for done. */
export async function removeContainer(ctx: RuntimeContext, paths: ContainerPaths): Promise<void> {
  const record = readRecord(ctx, paths)
  let direct = canDeleteDirectly(ctx, record)
  if (!direct) direct = (await deleteByRuntime(ctx, paths, record)) === 'failed'
  await sweepExecs(ctx, paths)
  if (record?.cgroup !== undefined && record.cgroup !== '/') {
    const { cgroups } = ctx.deps
    if (cgroups.processes(record.cgroup).length > 0) await cgroups.kill(record.cgroup)
    if (cgroups.exists(record.cgroup)) await cgroups.remove(record.cgroup)
  }
  if (direct) rmSync(join(ctx.runtimeRoot, paths.id), { recursive: true, force: true })
  await endMonitor(ctx, paths, record?.monitor)
  for (const path of leftoversOf(paths)) rmSync(path, { force: true, recursive: true })
}

/**
 * Of an ended container crun and runc have only a directory by its id and the cgroup; removing these here saves a process.
 * Not so with hooks to run, or a scope that systemd must be told of.
 */
function canDeleteDirectly(ctx: RuntimeContext, record: ContainerRecord | undefined): boolean {
  if ((ctx.kind !== 'crun' && ctx.kind !== 'runc') || ctx.cgroupDriver !== 'cgroupfs') return false
  if (record?.init === undefined || record.cgroup === undefined || record.hooks) return false
  return !ctx.deps.processes.isAlive(record.init)
}

const absent = /does not exist|not found|no such file or directory/i

/** `failed`: the runtime did not do it, but all is dead and what is left can be removed by hand. Throws when neither is so. */
async function deleteByRuntime(
  ctx: RuntimeContext,
  paths: ContainerPaths,
  record: ContainerRecord | undefined,
): Promise<'done' | 'failed'> {
  // crun and runc keep a directory by the id: without it they know nothing.
  if ((ctx.kind === 'crun' || ctx.kind === 'runc') && !existsSync(join(ctx.runtimeRoot, paths.id))) return 'done'
  try {
    await runDelete(ctx, paths)
    return 'done'
  } catch (err) {
    // It hangs on a process that will not end, or stumbles over a half-made container: kill by other means.
    log.warn('runtime did not delete its container', { container: paths.id, why: explain(err) })
    await killHard(ctx, paths)
    // Its cgroup is empty before it has ended: an init collects the others of its namespace last.
    if (record?.init !== undefined) await ctx.deps.processes.waitForExit(record.init, cleanupSignal(killedEndMs)).catch(() => {})
    if (canDeleteDirectly(ctx, record)) return 'failed'
    if (codeOf(err) === 'deadline_exceeded') throw err
  }
  await runDelete(ctx, paths)
  return 'done'
}

async function runDelete(ctx: RuntimeContext, paths: ContainerPaths): Promise<void> {
  const action = `delete container ${paths.id}`
  const request = {
    action,
    args: ['delete', '--force', paths.id],
    timeoutMs: ctx.timeouts.deleteMs,
    signal: cleanupSignal(2 * ctx.timeouts.deleteMs),
  }
  const result = await tryCommand(ctx, request)
  const words = cleanWords(result.stderr)
  if (result.exitCode !== 0 && !absent.test(words)) throw new OciRuntimeError(action, words, result.exitCode)
}

async function endMonitor(ctx: RuntimeContext, paths: ContainerPaths, monitor: ProcessIdentity | undefined): Promise<void> {
  const { processes } = ctx.deps
  const own = ctx.monitors.get(paths.id)
  const timer = new AbortController()
  if (own !== undefined) {
    await Promise.race([own.exited, delay(monitorEndMs, timer.signal)]).finally(() => timer.abort())
    await own[Symbol.asyncDispose]()
  } else if (monitor !== undefined) {
    const until = performance.now() + monitorEndMs
    while (processes.isAlive(monitor) && performance.now() < until) await delay(5)
    processes.signal(monitor, SIGKILL)
  }
}
