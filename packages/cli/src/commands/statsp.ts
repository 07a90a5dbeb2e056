import { ListPodSandboxStatsResponseSchema, type PodSandboxStats } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson } from '../print/structured.ts'
import { renderTable, shortId } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'
import { resolvePod } from '../resolve.ts'
import { parsePairs } from '../select.ts'
import { compareLooks, paceOf, printLooks } from '../top/looks.ts'
import { cpuPercent } from '../top/rows.ts'

export const command = defineCommand({
  name: 'statsp',
  summary: 'Show what pods use',
  usage: 'statsp [options] [POD]',
  description: 'CPU is measured over --seconds; 100 is one CPU. Only ready pods are shown.',
  options: {
    id: { kind: 'string', value: 'ID', help: 'by id or start of an id' },
    label: { kind: 'list', value: 'KEY=VALUE', help: 'by label' },
    seconds: { kind: 'number', short: 's', value: 'N', help: 'how long to measure CPU use (default 1)' },
    watch: { kind: 'flag', short: 'w', help: 'again and again, until interrupted' },
    output: outputOption,
  },
  operands: { min: 0, max: 1 },
  examples: ['coracle statsp', 'coracle statsp --seconds 5 web'],
  async run(context, options, [name]) {
    const id = name === undefined ? (options.id ?? '') : (await resolvePod(context, name)).id
    const filter = { id, labelSelector: parsePairs('label', options.label) }
    const look = () => context.runtime.listPodSandboxStats({ filter })
    const pace = paceOf(options)
    const { output } = options
    if (output === 'json' || output === 'yaml') {
      const found = async () => messageToJson(ListPodSandboxStatsResponseSchema, await look())
      return void (await printLooks(context, pace, { look: found, output }))
    }
    await compareLooks(context, pace, { look, print: (before, after) => printTable(context, before.stats, after.stats) })
  },
})

function printTable({ out }: Context, before: readonly PodSandboxStats[], after: readonly PodSandboxStats[]): void {
  const earlier = new Map(before.map((stats) => [stats.attributes?.id ?? '', stats]))
  const rows = after.map((stats) => {
    const network = stats.linux?.network?.defaultInterface
    return [
      shortId(stats.attributes?.id ?? ''),
      stats.attributes?.metadata?.name ?? '',
      stats.attributes?.metadata?.namespace ?? '',
      cpuPercent(earlier.get(stats.attributes?.id ?? '')?.linux?.cpu, stats.linux?.cpu)?.toFixed(2) ?? '-',
      formatBytes(stats.linux?.memory?.workingSetBytes?.value ?? 0n),
      String(stats.linux?.process?.processCount?.value ?? 0n),
      network === undefined ? '-' : formatBytes(network.rxBytes?.value ?? 0n),
      network === undefined ? '-' : formatBytes(network.txBytes?.value ?? 0n),
    ]
  })
  out.write(renderTable(['POD ID', 'NAME', 'NAMESPACE', 'CPU %', 'MEM', 'TASKS', 'RECEIVED', 'SENT'], rows))
}
