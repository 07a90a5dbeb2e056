// The command line of conmon 2.1 (conmon(8)).
import type { RuntimeContext } from '../context.ts'
import { filesOf } from '../files.ts'
import type { ContainerPaths, CreateRequest } from '../oci-runtime.ts'

/** fds of the child, told to it by environment variables. */
export const syncFd = 3
export const startFd = 4
export const attachFd = 5

export function monitorEnv(ctx: RuntimeContext, needs: { readonly attach: boolean; readonly terminal: boolean }) {
  return {
    ...ctx.env,
    _OCI_SYNCPIPE: `${syncFd}`,
    _OCI_STARTPIPE: `${startFd}`,
    ...(needs.attach ? { _OCI_ATTACHPIPE: `${attachFd}` } : {}),
    // The console socket is made here: others must not reach it, and its path must fit into a socket address.
    // gVisor wants a directory that its unprivileged half can open, so that is left with /tmp.
    ...(needs.terminal && ctx.kind !== 'runsc' ? { TMPDIR: ctx.socketDirectory } : {}),
  }
}

/** For a container. `--sync`: one fork less, and its end reaches us as that of a child. Logs are not synced at exit: that delays the exit file. */
export function containerArguments(ctx: RuntimeContext, request: CreateRequest): readonly string[] {
  const { paths } = request
  return [
    ...common(ctx, paths, wrapperFor(ctx, request)),
    `--bundle=${paths.bundle}`,
    `--container-pidfile=${filesOf(paths).pid}`,
    `--persist-dir=${paths.state}`,
    `--log-path=${request.logPath === undefined ? 'none' : `k8s-file:${request.logPath}`}`,
    ...(ctx.logSizeMaxBytes === undefined ? [] : [`--log-size-max=${ctx.logSizeMaxBytes}`]),
    ...(request.terminal ? ['--terminal'] : []),
    ...(request.stdin ? ['--stdin'] : []),
    ...(request.stdin && !request.stdinOnce ? ['--leave-stdin-open'] : []),
  ]
}

/** Runs the program that follows as $0 with an empty pipe as its stdin: what a here-document of dash is. */
const emptyInput = 'exec "$0" "$@" <<END\nEND\n'
/** Its stdout goes the way of its stderr, too. */
const emptyInputNoOutput = 'exec "$0" "$@" <<END >&2\nEND\n'

/**
 * crun gives its stdio to the root of a user namespace, gVisor to nobody where its sandbox runs as that. Where the monitor has the host's own
 * /dev/null for it, containers could take the permissions from that: with a terminal as input and output, else as input when there is none.
 */
function wrapperFor(ctx: RuntimeContext, { spec, stdin, terminal }: CreateRequest): string | undefined {
  const givesItAway = ctx.kind === 'runsc' || (ctx.kind === 'crun' && spec.linux.namespaces.some(({ type }) => type === 'user'))
  if (!givesItAway) return undefined
  if (terminal) return emptyInputNoOutput
  return stdin ? undefined : emptyInput
}

export interface TerminalExec {
  readonly directory: string
  readonly processFile: string
  readonly pidFile: string
  /** The pid in a sandbox's own numbers, of gVisor only. */
  readonly insidePidFile: string
  /** The runtime's log: with a terminal its words do not reach the monitor. */
  readonly logFile: string
  readonly stdin: boolean
}

/** conmon says --tty to an exec; gVisor does not know the word, and looks into the file of the process. */
const withoutTty = 'for word; do shift; [ "$word" = --tty ] || set -- "$@" "$word"; done; exec "$0" "$@"'

/** For an exec with a terminal. It waits for us to attach before it starts the process, so that no output is lost. */
export function execArguments(ctx: RuntimeContext, paths: ContainerPaths, exec: TerminalExec): readonly string[] {
  const gvisor = ctx.kind === 'runsc'
  return [
    ...common(ctx, paths, gvisor ? withoutTty : undefined),
    '--api-version=1',
    '--exec',
    '--exec-attach',
    `--exec-process-spec=${exec.processFile}`,
    `--bundle=${exec.directory}`,
    `--container-pidfile=${exec.pidFile}`,
    `--runtime-arg=--log=${exec.logFile}`,
    ...(gvisor ? [`--runtime-opt=--internal-pid-file=${exec.insidePidFile}`] : []),
    '--log-path=none',
    '--terminal',
    ...(exec.stdin ? ['--stdin'] : []),
  ]
}

function common(ctx: RuntimeContext, paths: ContainerPaths, wrapper?: string): readonly string[] {
  return [
    ctx.conmonPath,
    `--cid=${paths.id}`,
    `--cuuid=${paths.id}`,
    `--name=${paths.id}`,
    ...(wrapper === undefined
      ? [`--runtime=${ctx.program}`]
      : ['--runtime=/bin/sh', '--runtime-arg=-c', `--runtime-arg=${wrapper}`, `--runtime-arg=${ctx.program}`]),
    `--runtime-arg=--root=${ctx.runtimeRoot}`,
    ...ctx.extraArguments.map((argument) => `--runtime-arg=${argument}`),
    ...(ctx.cgroupDriver === 'systemd' ? ['--systemd-cgroup'] : []),
    // The attach socket is in the bundle itself, bound through /proc/self/fd, however long the path.
    '--full-attach',
    '--no-sync-log',
    '--sync',
    '--log-level=error',
  ]
}
