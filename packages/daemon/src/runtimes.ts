import { join } from 'node:path'
import { explain, failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { within } from '@coracle/base/signals'
import { type CgroupDriver, type Host, unifiedControllers } from '@coracle/host'
import { createOciRuntime, type OciRuntime, type RuntimeFeatures } from '@coracle/oci-runtime'
import type { Config, RuntimeConfig } from './config/config.ts'

const log = logger('daemon')

export interface RuntimeTable {
  /** By handler, as configured; changed in place at reload, so that everybody sees the new one. */
  readonly byHandler: Map<string, OciRuntime>
  /** No longer configured, but things still run under them. */
  readonly retired: Map<string, OciRuntime>
  readonly features: Map<string, RuntimeFeatures>
  readonly allowedAnnotations: Map<string, readonly string[]>
  /** Why a handler's pods cannot have user namespaces; undefined: they can. */
  readonly userNamespaceProblems: Map<string, string | undefined>
  /** What each was made from, to be remembered over a restart. */
  readonly madeFrom: Map<string, RuntimeConfig>
}

export function createRuntimeTable(): RuntimeTable {
  return {
    ...{ byHandler: new Map(), retired: new Map(), features: new Map(), allowedAnnotations: new Map() },
    ...{ userNamespaceProblems: new Map(), madeFrom: new Map() },
  }
}

export interface RuntimeContext {
  readonly config: Config
  readonly host: Host
  readonly driver: CgroupDriver
  /** Handlers of all that is there. */
  readonly inUse: () => ReadonlySet<string>
  /** As `rememberedHandlers` gave it at an earlier start. */
  readonly remembered: string | undefined
}

/** Makes the table what the configuration says. Handlers that things still run under are kept for these alone. */
export async function fillRuntimeTable(table: RuntimeTable, context: RuntimeContext, signal: AbortSignal): Promise<void> {
  const { runtimes } = context.config
  for (const runtime of runtimes) {
    const same = JSON.stringify(table.madeFrom.get(runtime.handler)) === JSON.stringify(runtime)
    const kept = same ? (table.byHandler.get(runtime.handler) ?? table.retired.get(runtime.handler)) : undefined
    table.byHandler.set(runtime.handler, kept ?? createRuntime(runtime, context))
    table.madeFrom.set(runtime.handler, runtime)
    table.allowedAnnotations.set(runtime.handler, runtime.allowedAnnotations)
  }
  retire(table, context)
  await Promise.all(
    [...table.byHandler].map(async ([handler, runtime]) => {
      try {
        table.features.set(handler, await runtime.features(within(signal, 10_000)))
      } catch (err) {
        log.warn('features of a runtime handler are unknown', { handler, error: explain(err) })
      }
    }),
  )
}

function retire(table: RuntimeTable, context: RuntimeContext): void {
  const configured = new Set(context.config.runtimes.map(({ handler }) => handler))
  const inUse = context.inUse()
  for (const [handler, runtime] of table.byHandler) {
    if (configured.has(handler)) continue
    table.byHandler.delete(handler)
    table.features.delete(handler)
    table.retired.set(handler, runtime)
  }
  for (const handler of table.retired.keys()) {
    if (configured.has(handler) || !inUse.has(handler)) table.retired.delete(handler)
  }
  for (const handler of inUse) {
    if (configured.has(handler) || table.retired.has(handler)) continue
    const runtime = parseRemembered(context.remembered).get(handler) ?? unknownRuntime(handler)
    log.warn('a runtime handler is no longer configured, but things run under it', { handler, program: runtime.path })
    table.retired.set(handler, createRuntime(runtime, context))
    table.madeFrom.set(handler, runtime)
  }
}

// Never run with success: containers are killed and removed by hand then.
const unknownRuntime = (handler: string): RuntimeConfig => ({
  ...{ handler, path: '/nonexistent/runtime', kind: 'crun', arguments: [], allowedAnnotations: [] },
  privilegedWithoutHostDevices: false,
})

/** All handlers with what they were made from, for the next start. */
export const rememberedHandlers = (table: RuntimeTable): string =>
  JSON.stringify([...table.byHandler.keys(), ...table.retired.keys()].sort().map((handler) => table.madeFrom.get(handler)))

function parseRemembered(text: string | undefined): ReadonlyMap<string, RuntimeConfig> {
  // We wrote it ourselves.
  const all = text === undefined ? [] : (JSON.parse(text) as RuntimeConfig[])
  return new Map(all.map((runtime) => [runtime.handler, runtime]))
}

function createRuntime(
  runtime: RuntimeConfig,
  { config, host, driver }: { config: Config; host: Host; driver: CgroupDriver },
): OciRuntime {
  return createOciRuntime(
    {
      handler: runtime.handler,
      program: runtime.path,
      kind: runtime.kind,
      conmonPath: config.programs.conmon,
      runtimeRoot: join(config.state, 'oci', runtime.handler),
      cgroupDriver: driver,
      extraArguments: runtime.arguments,
      timeouts: { createMs: config.limits.runtimeTimeoutMs, startMs: config.limits.runtimeTimeoutMs },
    },
    host,
  )
}

/** The handler for pods that ask for none: crun where it can create containers on this machine, else runc, else the first. */
export async function chooseDefault(config: Config, host: Host, signal: AbortSignal): Promise<string> {
  if (config.defaultRuntime !== 'auto') return config.defaultRuntime
  const has = (handler: string) => config.runtimes.some((runtime) => runtime.handler === handler)
  const problem = has('crun') ? crunProblem(host) : 'it is not installed'
  if (problem === undefined) return 'crun'
  log.info('crun is not used by default', { reason: problem })
  if (has('runc')) return 'runc'
  const first = config.runtimes[0]
  if (first === undefined)
    throw failed('choose a default runtime', new Error('no OCI runtime is installed: apt-get install crun'))
  signal.throwIfAborted()
  return first.handler
}

/** crun refuses a machine where controllers are spread over cgroup v1 and v2. */
function crunProblem(host: Host): string | undefined {
  const left = unifiedControllers()
  if (host.cgroups.mode !== 'hybrid' || left.size === 0) return undefined
  return `cgroup controllers ${[...left].join(', ')} are on v2 while the others are on v1; mount them on v1 to use it`
}
