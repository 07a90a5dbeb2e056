import { createHash } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { invalid, precondition } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import { KeyedLock } from '@coracle/base/keyed-lock'
import { command } from './command.ts'
import { defaultTimeouts, type OciRuntimeDeps, type OciRuntimeOptions, type RuntimeContext, type RuntimeKind } from './context.ts'
import { create } from './create.ts'
import { removeContainer } from './delete.ts'
import { spawnWithConsole } from './exec/console.ts'
import { execUnderMonitor } from './exec/monitored.ts'
import { spawnWithPipes } from './exec/pipes.ts'
import { execAsChild } from './exec/session.ts'
import { sweepExecs } from './exec/sweep.ts'
import { readExit } from './exit-file.ts'
import { ExitWatch } from './exit-watch.ts'
import { features, version } from './features.ts'
import { filesOf } from './files.ts'
import { kill } from './kill.ts'
import { attachTo } from './monitor/attach.ts'
import { Resizer, reopenLog } from './monitor/control.ts'
import type { ContainerPaths, ExecRequest, ExecSession, MonitorState, OciRuntime } from './oci-runtime.ts'
import { readRecord } from './record.ts'
import { isStarted } from './started.ts'
import { update } from './update.ts'

/** One runtime handler. Nothing is run or made before the first call. Throws `invalid_argument` for relative paths. */
export function createOciRuntime(options: OciRuntimeOptions, deps: OciRuntimeDeps): OciRuntime {
  const ctx = contextOf(options, deps)
  const exits = new ExitWatch(ctx)
  const reopening = new KeyedLock()
  const resizers = new Map<string, Resizer>()
  return {
    handler: ctx.handler,
    program: ctx.program,
    sandboxed: ctx.kind === 'runsc',
    compiledSeccomp: ctx.kind === 'crun',
    bindsDevices: ctx.kind !== 'crun',
    losesSubmounts: ctx.kind === 'crun',
    version: (signal) => version(ctx, signal),
    features: (signal) => features(ctx, signal),
    create: (request, signal) => create(ctx, request, signal),
    async start(paths, signal) {
      await command(ctx, {
        action: `start container ${paths.id}`,
        args: ['start', paths.id],
        timeoutMs: ctx.timeouts.startMs,
        signal,
      })
    },
    kill: (paths, signal, all) => kill(ctx, paths, signal, all),
    async delete(paths) {
      await removeContainer(ctx, paths)
      resizers.delete(paths.id)
    },
    inspect: (paths) => inspect(ctx, paths),
    isStarted: (paths) => isStarted(ctx, paths),
    readExit: (paths) => readExit(ctx, paths),
    watchExit: (paths, signal, onExit) => exits.watch(paths, signal, onExit),
    exec: (paths, request, signal) => exec(ctx, { paths, request }, signal),
    attach: (paths) => attachTo(deps.sockets, filesOf(paths).attach),
    async resize(paths, size) {
      let resizer = resizers.get(paths.id)
      if (resizer === undefined) {
        resizer = new Resizer(filesOf(paths).control)
        resizers.set(paths.id, resizer)
      }
      await resizer.resize(size)
    },
    update: (paths, resources, signal) => update(ctx, paths, resources, signal),
    async reopenLog(paths, signal) {
      using _lock = await reopening.lock(paths.id, signal)
      await reopenLog(paths, logPathOf(ctx, paths), { timeoutMs: ctx.timeouts.stateMs, signal })
    },
    sweepExecs: (paths) => sweepExecs(ctx, paths),
  }
}

function exec(
  ctx: RuntimeContext,
  { paths, request }: { readonly paths: ContainerPaths; readonly request: ExecRequest },
  signal: AbortSignal,
): Promise<ExecSession> {
  if (!request.process.terminal) return execAsChild(ctx, { paths, request, spawn: spawnWithPipes }, signal)
  if (ctx.kind === 'crun') return execAsChild(ctx, { paths, request, spawn: spawnWithConsole }, signal)
  // runc and gVisor take a console socket only when they do not stay to tell the exit status; gVisor ignores it otherwise.
  return execUnderMonitor(ctx, { paths, request }, signal)
}

function contextOf(options: OciRuntimeOptions, deps: OciRuntimeDeps): RuntimeContext {
  for (const [name, path] of Object.entries({
    program: options.program,
    conmonPath: options.conmonPath,
    runtimeRoot: options.runtimeRoot,
  }))
    if (!path.startsWith('/')) throw invalid(`${name} ${quote(path)} of handler ${options.handler} must be an absolute path`)
  const kind = options.kind ?? kindOf(options.program)
  return {
    handler: options.handler,
    program: options.program,
    kind,
    conmonPath: options.conmonPath,
    runtimeRoot: options.runtimeRoot,
    socketDirectory: options.socketDirectory ?? socketDirectoryFor(options.runtimeRoot),
    cgroupDriver: options.cgroupDriver,
    execDrainMs: options.execDrainMs ?? 15_000,
    timeouts: { ...defaultTimeouts, ...options.timeouts },
    logSizeMaxBytes: options.logSizeMaxBytes,
    extraArguments: argumentsOf(kind, options.extraArguments ?? []),
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...options.environment },
    deps,
    monitors: new Map(),
  }
}

function kindOf(program: string): RuntimeKind {
  const name = basename(program)
  return name === 'crun' || name === 'runc' || name === 'runsc' ? name : 'other'
}

/**
 * What gVisor needs beside the command line of the others; an argument of the same name in the configuration wins. `--network=host` is the
 * network namespace that the spec names, the pod's, used through this kernel: docs/decisions/0411-runsc.md. Without `--oci-seccomp` it takes
 * profiles and ignores them, without `--net-raw` it takes CAP_NET_RAW away from those who were given it.
 */
const gvisorArguments = ['--network=host', '--oci-seccomp', '--net-raw']

function argumentsOf(kind: RuntimeKind, configured: readonly string[]): readonly string[] {
  if (kind !== 'runsc') return configured
  const nameOf = (argument: string) => argument.replace(/^--?/, '').replace(/=.*/, '')
  const names = new Set(configured.map(nameOf))
  return [...gvisorArguments.filter((argument) => !names.has(nameOf(argument))), ...configured]
}

// unix(7): sun_path has 108 bytes with its NUL; conmon appends `/conmon-term.XXXXXX`.
const maxDirectoryBytes = 107 - '/conmon-term.XXXXXX'.length

export function socketDirectoryFor(runtimeRoot: string): string {
  const beside = join(dirname(runtimeRoot), 's')
  if (Buffer.byteLength(beside) <= maxDirectoryBytes) return beside
  return `/run/coracle-s-${createHash('sha256').update(runtimeRoot).digest('hex').slice(0, 16)}`
}

function inspect(ctx: RuntimeContext, paths: ContainerPaths): MonitorState {
  const { processes } = ctx.deps
  const record = readRecord(ctx, paths)
  const init = record?.init !== undefined && processes.isAlive(record.init) ? record.init.pid : undefined
  return { monitorAlive: record?.monitor !== undefined && processes.isAlive(record.monitor), pid: init }
}

function logPathOf(ctx: RuntimeContext, paths: ContainerPaths): string {
  const path = readRecord(ctx, paths)?.logPath
  if (path === undefined) throw precondition(`container ${paths.id} has no log`)
  return path
}
