import { isErrno } from '@coracle/base/errno'
import { explain } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { cleanupSignal } from '@coracle/base/signals'
import { tryCommand } from './command.ts'
import type { RuntimeContext } from './context.ts'
import type { ContainerPaths } from './oci-runtime.ts'
import { type ContainerRecord, readRecord } from './record.ts'
import { cleanWords, OciRuntimeError } from './words.ts'

const log = logger('oci-runtime')
const SIGKILL = 9

/** crun and runc containers are ordinary processes: the kernel is asked directly, which needs no runtime and no monitor. */
export async function kill(ctx: RuntimeContext, paths: ContainerPaths, signal: number, all: boolean): Promise<void> {
  const record = readRecord(ctx, paths)
  if (ctx.kind === 'crun' || ctx.kind === 'runc') return killDirectly(ctx, { paths, record, signal, all })
  await killByRuntime(ctx, paths, signal, all)
}

interface KillRequest {
  readonly paths: ContainerPaths
  readonly record: ContainerRecord | undefined
  readonly signal: number
  readonly all: boolean
}

async function killDirectly(ctx: RuntimeContext, request: KillRequest): Promise<void> {
  const { processes } = ctx.deps
  const { record, signal, all } = request
  if (record?.init !== undefined) processes.signal(record.init, signal)
  else if (record?.cgroup === undefined) return killByRuntime(ctx, request.paths, signal, all)
  if (all && record?.cgroup !== undefined) await signalCgroup(ctx, record.cgroup, signal)
}

async function signalCgroup(ctx: RuntimeContext, cgroup: string, signal: number): Promise<void> {
  const { processes, cgroups } = ctx.deps
  if (signal === SIGKILL) return cgroups.kill(cgroup)
  for (const pid of cgroups.processes(cgroup)) {
    const identity = processes.identify(pid)
    if (identity !== undefined) processes.signal(identity, signal)
  }
}

const gone =
  /does not exist|not running|process already finished|no such process|not found|no such file or directory|cannot signal/i

/** A sandboxed container's signals go through its runtime; SIGKILL has the cgroup as the last resort. */
async function killByRuntime(ctx: RuntimeContext, paths: ContainerPaths, signal: number, all: boolean): Promise<void> {
  const args = ['kill', ...(all ? ['--all'] : []), paths.id, `${signal}`]
  const action = `kill container ${paths.id}`
  try {
    const result = await tryCommand(ctx, { action, args, timeoutMs: ctx.timeouts.killMs, signal: cleanupSignal() })
    const words = cleanWords(result.stderr)
    if (result.exitCode === 0) return
    if (gone.test(words)) {
      // gVisor "cannot signal" a container that was created and not started, though its sandbox is there.
      const init = readRecord(ctx, paths)?.init
      if (signal === SIGKILL && init !== undefined && ctx.deps.processes.isAlive(init)) await killHard(ctx, paths)
      return
    }
    throw new OciRuntimeError(action, words, result.exitCode)
  } catch (err) {
    if (signal !== SIGKILL || isErrno(err, 'EPERM')) throw err
    log.warn('runtime did not kill its container: cgroup killed instead', { container: paths.id, why: explain(err) })
    await killHard(ctx, paths)
  }
}

/** SIGKILL to init and everything in the container's cgroup, without the runtime. */
export async function killHard(ctx: RuntimeContext, paths: ContainerPaths): Promise<void> {
  const record = readRecord(ctx, paths)
  if (record?.init !== undefined) ctx.deps.processes.signal(record.init, SIGKILL)
  if (record?.cgroup !== undefined && record.cgroup !== '/') await ctx.deps.cgroups.kill(record.cgroup)
}
