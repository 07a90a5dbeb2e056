import { notFound } from '@coracle/base/errors'
import { type ContainerStatus, ContainerStatusSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { registryOptions } from '../moving/registry-options.ts'
import { type Inspected, type InspectOptions, printInspected, timestamp, withDates } from '../print/inspect.ts'
import { inspectOutputOption, templateOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { resolveContainer } from '../resolve.ts'
import { requireOneWay } from '../select.ts'
import { UsageError } from '../usage-error.ts'
import { containerFilters, findContainers, stateText } from './ps.ts'

export const command = defineCommand({
  name: 'inspect',
  summary: 'Show everything about containers, or about images elsewhere',
  usage: 'inspect [options] [CONTAINER…]',
  description:
    'Without a name: those that the filters leave, of the running ones or, with -a, -n, -l or --state, of others. ' +
    'With --remote the arguments are images in registries, directories or archives (docker://NAME, oci:DIR[:REF], …; a plain name is ' +
    'one of a registry): their digest, platforms, layers and config, without pulling them.',
  options: {
    output: inspectOutputOption,
    template: templateOption,
    quiet: { kind: 'flag', short: 'q', help: 'without the runtime’s own information' },
    isolation: {
      kind: 'flag',
      help: 'what confines the container, as read back from the kernel (a table unless -o says json or yaml)',
    },
    remote: { kind: 'flag', help: 'images where they are, not containers' },
    raw: { kind: 'flag', help: 'with --remote: the manifest or index as it is, byte for byte' },
    platform: { kind: 'string', value: 'OS/ARCH', help: 'with --remote: the image of an index (default: this machine’s)' },
    ...registryOptions,
    ...containerFilters,
  },
  operands: { min: 0 },
  examples: [
    'coracle inspect web',
    'coracle inspect --isolation web',
    'coracle inspect --label app=web -q',
    'coracle inspect --remote docker://registry.k8s.io/pause:3.10',
    "coracle inspect -o go-template --template '{{.info.pid}}' 3f2a1b",
  ],
  async run(context, options, names) {
    if (options.remote) {
      if (names.length === 0) throw new UsageError('inspect --remote needs an image')
      const { printRemote } = await import('../moving/print-remote.ts')
      return printRemote(context, options, names)
    }
    if (options.raw) throw new UsageError('--raw goes with --remote')
    requireOneWay(options, containerFilters, names)
    const targets = names.length > 0 ? names : (await findContainers(context, options)).containers.map(({ id }) => id)
    if (options.isolation) return showIsolation(context, options, targets)
    const inspected = []
    for (const target of targets) {
      const { id } = await resolveContainer(context, target)
      const { status, info } = await context.runtime.containerStatus({ containerId: id, verbose: !options.quiet })
      if (!status) throw notFound(`container ${id} has no status`)
      inspected.push({ status: statusJson(status), info, rows: rowsOf(status) })
    }
    await printInspected(context.out, inspected, options)
  },
})

async function showIsolation(
  context: Context,
  { output, template }: InspectOptions,
  names: readonly string[],
): Promise<undefined> {
  if (template !== undefined || output === 'go-template') throw new UsageError('--isolation takes -o table, json or yaml')
  const { ContainerIsolationResponseSchema, Isolation } = await import('@coracle/cri-api/isolation')
  const { isolationText } = await import('../isolation/show.ts')
  const values = []
  for (const name of names) {
    const { id } = await resolveContainer(context, name)
    const found = await context.client.service(Isolation).containerIsolation({ containerId: id })
    if (output === undefined || output === 'table') context.out.write(isolationText(name, found))
    else values.push(messageToJson(ContainerIsolationResponseSchema, found))
  }
  if (output === 'json' || output === 'yaml')
    await printStructured(context.out, output, values.length === 1 ? (values[0] ?? null) : values)
}

function statusJson(status: ContainerStatus): Inspected['status'] {
  const json = withDates(messageToJson(ContainerStatusSchema, status), ['createdAt', 'startedAt', 'finishedAt'])
  // The CRI's names of signals have no prefix.
  return { ...json, stopSignal: String(json['stopSignal']).replace(/^SIGNAL_/, '') }
}

function rowsOf(status: ContainerStatus): Inspected['rows'] {
  const { id, metadata, image, createdAt, startedAt, finishedAt, exitCode, reason, message, logPath } = status
  const exited = stateText(status) === 'Exited'
  return [
    ['ID', id],
    ['Name', metadata?.name ?? ''],
    ['Attempt', String(metadata?.attempt ?? 0)],
    ['Image', image?.image ?? ''],
    ['State', stateText(status)],
    ['Created', timestamp(createdAt)],
    ...(startedAt > 0n ? [['Started', timestamp(startedAt)] as const] : []),
    ...(exited
      ? ([
          ['Finished', timestamp(finishedAt)],
          ['Exit Code', String(exitCode)],
          ['Reason', reason],
        ] as const)
      : []),
    ...(message ? [['Message', message] as const] : []),
    ['Log', logPath],
  ]
}
