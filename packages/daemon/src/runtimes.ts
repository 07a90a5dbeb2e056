import { join } from 'node:path'
import { explain, failed } from '@coracle/base/errors'
import { logger } from '@coracle/base/log'
import { within } from '@coracle/base/signals'
import { type CgroupDriver, type Host, unifiedControllers } from '@coracle/host'
import { createOciRuntime, type OciRuntime, type RuntimeFeatures } from '@coracle/oci-runtime'
import type { Config, RuntimeConfig } from './config/config.ts'

const log = logger('daemon')

export interface RuntimeTable {
  /** By handler; changed in place at reload, so that everybody sees the new one. */
  readonly byHandler: Map<string, OciRuntime>
  readonly features: Map<string, RuntimeFeatures>
  readonly allowedAnnotations: Map<string, readonly string[]>
}

export function createRuntimeTable(): RuntimeTable {
  return { byHandler: new Map(), features: new Map(), allowedAnnotations: new Map() }
}

/** Makes the table what the configuration says. Handlers that things still run under stay until they are gone. */
export async function fillRuntimeTable(
  table: RuntimeTable,
  context: {
    readonly config: Config
    readonly host: Host
    readonly driver: CgroupDriver
    readonly inUse: (handler: string) => boolean
  },
  signal: AbortSignal,
): Promise<void> {
  const { config } = context
  for (const runtime of config.runtimes) {
    const made = createRuntime(runtime, context)
    table.byHandler.set(runtime.handler, made)
    table.allowedAnnotations.set(runtime.handler, runtime.allowedAnnotations)
  }
  await Promise.all(
    [...table.byHandler].map(async ([handler, runtime]) => {
      if (!config.runtimes.some((wanted) => wanted.handler === handler)) {
        if (!context.inUse(handler)) table.byHandler.delete(handler)
        return
      }
      try {
        table.features.set(handler, await runtime.features(within(signal, 10_000)))
      } catch (err) {
        log.warn('features of a runtime handler are unknown', { handler, error: explain(err) })
      }
    }),
  )
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
