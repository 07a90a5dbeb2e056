import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { failed, precondition } from '@coracle/base/errors'
import { stage } from '@coracle/base/stages'
import { cgroupOf } from './cgroup-path.ts'
import type { RuntimeContext } from './context.ts'
import { withQuotaItCanRead } from './cpu-quota.ts'
import { bounded } from './deadline.ts'
import { removeContainer } from './delete.ts'
import { filesOf, leftoversOf } from './files.ts'
import { clearReopenFile, type FileIdentity, identifyFile, prepareLog, sameFile } from './log-file.ts'
import { containerArguments } from './monitor/arguments.ts'
import { awaitPid, launchMonitor, type WaitingMonitor } from './monitor/launch.ts'
import type { CreateRequest } from './oci-runtime.ts'
import { type ContainerRecord, writeRecord } from './record.ts'

/** The drawing: files → conmon waits → record → conmon runs `create` → its report → record with the init process. */
export async function create(
  ctx: RuntimeContext,
  request: CreateRequest,
  signal: AbortSignal,
): Promise<{ readonly pid: number; readonly monitorPid: number }> {
  const action = `create container ${request.paths.id}`
  signal.throwIfAborted()
  const log = prepare(ctx, request)
  const limit = { signal, ms: ctx.timeouts.createMs, what: `${ctx.program} create` }
  try {
    return await stage(['OCI create', `runtime ${ctx.handler} (${ctx.program})`], () =>
      bounded(limit, (until) => underMonitor(ctx, request, { action, log, signal: until })),
    )
  } catch (err) {
    await undo(ctx, request)
    throw err instanceof Error && err.message.startsWith(action) ? err : failed(action, err)
  }
}

/** What the monitor needs before it starts to wait. */
function prepare(ctx: RuntimeContext, request: CreateRequest): FileIdentity | undefined {
  const { paths } = request
  for (const directory of [paths.bundle, paths.state, ctx.runtimeRoot]) mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (request.terminal) mkdirSync(ctx.socketDirectory, { recursive: true, mode: 0o700 })
  // A leftover of an earlier try with this id would be taken for the new container's end.
  for (const stale of [filesOf(paths).exit, filesOf(paths).oom, filesOf(paths).pid]) rmSync(stale, { force: true })
  if (request.logPath === undefined) return undefined
  clearReopenFile(request.logPath)
  return prepareLog(request.logPath)
}

interface Attempt {
  readonly action: string
  readonly log: FileIdentity | undefined
  readonly signal: AbortSignal
}

async function underMonitor(ctx: RuntimeContext, request: CreateRequest, attempt: Attempt) {
  const { processes, cgroups } = ctx.deps
  const { paths, spec } = request
  const argv = containerArguments(ctx, request)
  const monitor = await launchMonitor(ctx, { argv, cwd: paths.state, attach: false, terminal: request.terminal })
  try {
    const record: ContainerRecord = {
      boot: processes.bootId(),
      monitor: processes.identify(monitor.child.pid),
      init: undefined,
      cgroup: cgroupOf(spec.linux.cgroupsPath, ctx.cgroupDriver),
      hooks: spec.hooks !== undefined,
      logPath: request.logPath,
    }
    writeRecord(paths, record)
    // Now, while the monitor is being loaded.
    writeFileSync(filesOf(paths).config, JSON.stringify(withQuotaItCanRead(ctx, spec)), { mode: 0o600 })
    if (request.monitorCgroup !== undefined) {
      cgroups.ensure(request.monitorCgroup)
      cgroups.addProcess(request.monitorCgroup, monitor.child.pid)
    }
    attempt.signal.throwIfAborted()
    monitor.release()
    const pid = await awaitPid(monitor, attempt.action, attempt.signal)
    checkLog(request, attempt.log)
    writeRecord(paths, { ...record, init: processes.identify(pid), cgroup: cgroups.pathOf(pid) ?? record.cgroup })
    keep(ctx, paths.id, monitor)
    return { pid, monitorPid: monitor.child.pid }
  } catch (err) {
    // The group holds the monitor and the runtime it waits for; the container's init is the business of `undo`.
    await monitor.child[Symbol.asyncDispose]()
    throw err
  }
}

function keep(ctx: RuntimeContext, id: string, monitor: WaitingMonitor): void {
  monitor.leave()
  monitor.child.unref()
  ctx.monitors.set(id, monitor.child)
  void monitor.child.exited.then(() => {
    if (ctx.monitors.get(id) === monitor.child) ctx.monitors.delete(id)
  })
}

// Somebody with access to the log directory may have put a link there between our look and the monitor's open.
function checkLog(request: CreateRequest, log: FileIdentity | undefined): void {
  if (request.logPath === undefined || sameFile(identifyFile(request.logPath), log)) return
  throw precondition(`log path ${request.logPath} was replaced while the container was created`)
}

async function undo(ctx: RuntimeContext, request: CreateRequest): Promise<void> {
  const { paths, spec } = request
  const cgroup = cgroupOf(spec.linux.cgroupsPath, ctx.cgroupDriver)
  // A runtime that refuses has mostly cleaned up by itself: then there is nothing to run.
  const runtimeKnows = ctx.kind === 'runsc' || ctx.kind === 'other' || existsSync(join(ctx.runtimeRoot, paths.id))
  const cgroupLeft = cgroup !== undefined && ctx.deps.cgroups.exists(cgroup)
  if (runtimeKnows || cgroupLeft) await removeContainer(ctx, paths).catch(() => {})
  for (const path of leftoversOf(paths)) rmSync(path, { force: true, recursive: true })
}
