// setrlimit(2) limits of the container's processes: set always, so that none is inherited by chance from the daemon's unit (hazards H-43).
import { CodedError, invalid } from '@coracle/base/errors'
import { quote } from '@coracle/base/ids'
import type { Rlimit } from '@coracle/oci-spec/runtime-spec'
import { isAllowed } from './annotations.ts'
import type { HostFacts, SpecInput } from './spec-input.ts'

// 1024 is what select(2) and old programs can count to; those that want more raise their soft limit themselves.
const softFiles = 1024
const hardFiles = 1_048_576

/** `RLIMIT_NOFILE`, within what this process has itself. */
export function rlimits(nofile: HostFacts['nofile']): readonly Rlimit[] {
  const hard = Math.min(hardFiles, nofile.hard)
  return [{ type: 'RLIMIT_NOFILE', soft: Math.min(softFiles, hard), hard }]
}

/** `ulimit.coracle/NAME` for all containers of a pod, `ulimit.coracle/NAME.CONTAINER` for one; the value is `LIMIT` or `SOFT:HARD`. */
const prefix = 'ulimit.coracle/'

const names = new Set(
  'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' '),
)

/** The defaults, and what allowed annotations of pod and container ask for. Throws `invalid_argument` naming a bad annotation. */
export function requestedRlimits(input: SpecInput): readonly Rlimit[] {
  const limits = new Map(rlimits(input.host.nofile).map((limit) => [limit.type, limit]))
  const own = `.${input.config.metadata?.name ?? ''}`
  const asked = [...Object.entries(input.pod.config.annotations), ...Object.entries(input.config.annotations)]
    .filter(([key]) => key.startsWith(prefix) && isAllowed(key, input.allowedAnnotations))
    .map(([key, value]) => [key.slice(prefix.length), value] as const)
  // Those for this container alone come last and win.
  for (const [key, value] of asked) if (names.has(key)) set(limits, parse(key, value))
  for (const [key, value] of asked)
    if (key.endsWith(own) && names.has(key.slice(0, -own.length))) set(limits, parse(key.slice(0, -own.length), value))
  checkFiles(limits.get('RLIMIT_NOFILE'), input.host)
  return [...limits.values()]
}

const set = (limits: Map<string, Rlimit>, limit: Rlimit): void => {
  limits.set(limit.type, limit)
}

function parse(name: string, value: string): Rlimit {
  const [, softText = '', hardText = softText] = /^([0-9]{1,15})(?::([0-9]{1,15}))?$/.exec(value) ?? []
  const [soft, hard] = [Number(softText), Number(hardText)]
  if (softText === '' || soft > hard) throw invalid(`annotation ${prefix}${name} ${quote(value)} must be LIMIT or SOFT:HARD`)
  return { type: `RLIMIT_${name.toUpperCase()}`, soft, hard }
}

function checkFiles(limit: Rlimit | undefined, host: HostFacts): void {
  if (limit !== undefined && limit.hard > host.nofile.hard && !host.capabilities.includes('CAP_SYS_RESOURCE'))
    throw new CodedError(
      'failed_precondition',
      `annotation ${prefix}nofile: this process may not raise it above ${host.nofile.hard}`,
    )
}
