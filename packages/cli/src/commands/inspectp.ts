import { notFound } from '@coracle/base/errors'
import { PodSandboxState, type PodSandboxStatus, PodSandboxStatusSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { type Inspected, printInspected, timestamp, withDates } from '../print/inspect.ts'
import { inspectOutputOption, templateOption } from '../print/output-options.ts'
import { messageToJson } from '../print/structured.ts'
import { resolvePod } from '../resolve.ts'
import { requireOneWay } from '../select.ts'
import { findPods, podFilters } from './pods.ts'

export const command = defineCommand({
  name: 'inspectp',
  summary: 'Show everything about pods',
  usage: 'inspectp [options] [POD…]',
  description: 'Without a name: those that the filters leave.',
  options: {
    output: inspectOutputOption,
    template: templateOption,
    quiet: { kind: 'flag', short: 'q', help: 'without the runtime’s own information' },
    ...podFilters,
  },
  operands: { min: 0 },
  examples: ['coracle inspectp web', "coracle inspectp -o go-template --template '{{.status.network.ip}}' web"],
  async run(context, options, names) {
    requireOneWay(options, podFilters, names)
    const targets = names.length > 0 ? names : (await findPods(context.runtime, options)).items.map(({ id }) => id)
    const inspected = []
    for (const target of targets) {
      const { id } = await resolvePod(context, target)
      const { status, info } = await context.runtime.podSandboxStatus({ podSandboxId: id, verbose: !options.quiet })
      if (!status) throw notFound(`pod ${id} has no status`)
      const json = withDates(messageToJson(PodSandboxStatusSchema, status), ['createdAt'])
      inspected.push({ status: json, info, rows: rowsOf(status) })
    }
    await printInspected(context.out, inspected, options)
  },
})

function rowsOf({ id, metadata, state, createdAt, network, runtimeHandler }: PodSandboxStatus): Inspected['rows'] {
  return [
    ['ID', id],
    ['Name', metadata?.name ?? ''],
    ['UID', metadata?.uid ?? ''],
    ['Namespace', metadata?.namespace ?? ''],
    ['Attempt', String(metadata?.attempt ?? 0)],
    ['Status', state === PodSandboxState.SANDBOX_READY ? 'Ready' : 'NotReady'],
    ['Created', timestamp(createdAt)],
    ['IP Addresses', [network?.ip ?? '', ...(network?.additionalIps ?? []).map(({ ip }) => ip)].filter(Boolean).join(', ')],
    ['Runtime', runtimeHandler || '(default)'],
  ]
}
