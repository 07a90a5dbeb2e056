import { codeOf } from '@coracle/base/errors'
import { type ContainerStats, type ListContainerStatsResponse, ListContainerStatsResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson } from '../print/structured.ts'
import { renderTable, shortId } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'
import { resolveContainer } from '../resolve.ts'
import { parsePairs } from '../select.ts'
import { compareLooks, paceOf, printLooks } from '../top/looks.ts'
import { cpuPercent } from '../top/rows.ts'

export const command = defineCommand({
  name: 'stats',
  summary: 'Show what containers use',
  usage: 'stats [options] [CONTAINER]',
  description: 'CPU is measured over --seconds; 100 is one CPU. Only running containers are shown, unless -a asks for all.',
  options: {
    all: { kind: 'flag', short: 'a', help: 'also containers that do not run' },
    id: { kind: 'string', value: 'ID', help: 'by id or start of an id' },
    pod: { kind: 'string', short: 'p', value: 'ID', help: 'of one pod' },
    label: { kind: 'list', value: 'KEY=VALUE', help: 'by label' },
    seconds: { kind: 'number', short: 's', value: 'N', help: 'how long to measure CPU use (default 1)' },
    watch: { kind: 'flag', short: 'w', help: 'again and again, until interrupted' },
    output: outputOption,
  },
  operands: { min: 0, max: 1 },
  examples: ['coracle stats', 'coracle stats --seconds 5 web'],
  async run(context, options, [name]) {
    const id = name === undefined ? (options.id ?? '') : (await resolveContainer(context, name)).id
    const filter = { id, podSandboxId: options.pod ?? '', labelSelector: parsePairs('label', options.label) }
    const look = () => (options.all ? allStats(context, filter) : context.runtime.listContainerStats({ filter }))
    const pace = paceOf(options)
    const { output } = options
    if (output === 'json' || output === 'yaml') {
      const found = async () => messageToJson(ListContainerStatsResponseSchema, await look())
      return void (await printLooks(context, pace, { look: found, output }))
    }
    await compareLooks(context, pace, { look, print: (before, after) => printTable(context, before.stats, after.stats) })
  },
})

function printTable({ out }: Context, before: readonly ContainerStats[], after: readonly ContainerStats[]): void {
  const earlier = new Map(before.map((stats) => [stats.attributes?.id ?? '', stats]))
  const rows = after.map((stats) => [
    shortId(stats.attributes?.id ?? ''),
    stats.attributes?.metadata?.name ?? '',
    cpuPercent(earlier.get(stats.attributes?.id ?? '')?.cpu, stats.cpu)?.toFixed(2) ?? '-',
    formatBytes(stats.memory?.workingSetBytes?.value ?? 0n),
    formatBytes(stats.writableLayer?.usedBytes?.value ?? 0n),
    String(stats.writableLayer?.inodesUsed?.value ?? 0n),
    formatBytes(stats.swap?.swapUsageBytes?.value ?? 0n),
  ])
  out.write(renderTable(['CONTAINER', 'NAME', 'CPU %', 'MEM', 'DISK', 'INODES', 'SWAP'], rows))
}

interface Filter {
  readonly id: string
  readonly podSandboxId: string
  readonly labelSelector: Record<string, string>
}

/** The list of a server leaves out what does not run: those are asked for one by one. */
async function allStats({ runtime }: Context, filter: Filter): Promise<ListContainerStatsResponse> {
  const [listed, { containers }] = await Promise.all([runtime.listContainerStats({ filter }), runtime.listContainers({ filter })])
  const known = new Set(listed.stats.map(({ attributes }) => attributes?.id))
  for (const { id } of containers) {
    if (known.has(id)) continue
    try {
      const { stats } = await runtime.containerStats({ containerId: id })
      if (stats !== undefined) listed.stats.push(stats)
    } catch (err) {
      // Removed since it was listed.
      if (codeOf(err) !== 'not_found') throw err
    }
  }
  return listed
}
