import { codeOf, notFound, precondition } from '@coracle/base/errors'
import { type Container, ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { printLog } from '../logs/print-log.ts'
import { readLog } from '../logs/read-log.ts'
import { parseDurationMs } from '../quantities.ts'
import { resolveContainer } from '../resolve.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'logs',
  summary: 'Show the log of a container',
  usage: 'logs [options] CONTAINER',
  description: "Reads the log file itself, on this machine. The container's standard error comes on standard error.",
  options: {
    follow: { kind: 'flag', short: 'f', help: 'keep reading until the container has ended' },
    previous: { kind: 'flag', short: 'p', help: 'the log of the attempt before this one' },
    tail: { kind: 'number', value: 'N', help: 'only the last N lines; -1 for all' },
    since: { kind: 'string', value: 'TIME', help: 'only what is younger: a time (2030-01-02T15:04:05Z) or a duration (10m)' },
    'limit-bytes': { kind: 'size', value: 'SIZE', help: 'stop after so many bytes' },
    timestamps: { kind: 'flag', short: 't', help: 'put the time before each line' },
    stream: { kind: 'string', short: 's', value: 'STREAM', choices: ['stdout', 'stderr', 'all'], help: 'only stdout or stderr' },
    reopen: { kind: 'flag', short: 'r', help: 'let the runtime reopen the log file first' },
  },
  operands: { min: 1, max: 1 },
  examples: ['coracle logs web', 'coracle logs -f --tail 20 web', 'coracle logs --since 10m -t 3f2a1b'],
  async run(context, options, [name = '']) {
    const found = await resolveContainer(context, name)
    const container = options.previous ? await previousAttempt(context, found) : found
    if (options.reopen) await context.runtime.reopenContainerLog({ containerId: container.id })
    const { status } = await context.runtime.containerStatus({ containerId: container.id })
    if (!status?.logPath) throw precondition(`container ${name} keeps no log: it was created without log_path`)
    const signal = context.interruption()
    const entries = readLog(status.logPath, {
      tail: options.tail !== undefined && options.tail >= 0 ? options.tail : undefined,
      isGrowing: options.follow ? () => isRunning(context, container.id) : undefined,
      signal,
    })
    await printLog(context, entries, {
      timestamps: options.timestamps,
      sinceMs: options.since === undefined ? undefined : parseSince(options.since, Date.now()),
      limitBytes: options['limit-bytes'],
      stream: options.stream === 'stdout' || options.stream === 'stderr' ? options.stream : undefined,
    })
    if (signal.aborted) throw signal.reason
    return undefined
  },
})

async function previousAttempt(context: Context, { podSandboxId, metadata }: Container): Promise<Container> {
  const { containers } = await context.runtime.listContainers({ filter: { podSandboxId } })
  const attempt = (metadata?.attempt ?? 0) - 1
  const previous = containers.find((other) => other.metadata?.name === metadata?.name && other.metadata?.attempt === attempt)
  if (!previous) throw notFound(`container ${metadata?.name ?? ''} has no previous attempt that is still kept`)
  return previous
}

/** A removed container writes no more; one that is only created may yet. */
async function isRunning(context: Context, containerId: string): Promise<boolean> {
  try {
    const { status } = await context.runtime.containerStatus({ containerId })
    return status?.state === ContainerState.CONTAINER_RUNNING || status?.state === ContainerState.CONTAINER_CREATED
  } catch (err) {
    if (codeOf(err) === 'not_found') return false
    throw err
  }
}

/** Exported for its tests. */
export function parseSince(text: string, nowMs: number): number {
  const durationMs = parseDurationMs(text)
  if (durationMs !== undefined) return nowMs - durationMs
  const time = Date.parse(text)
  if (Number.isNaN(time))
    throw new UsageError(`option --since is "${text}"; expected a time such as 2030-01-02T15:04:05Z or a duration such as 10m`)
  return time
}
