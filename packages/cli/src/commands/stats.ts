import { delay } from '@coracle/base/signals'
import { type ContainerStats, ListContainerStatsResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderTable, shortId } from '../print/table.ts'
import { formatBytes } from '../quantities.ts'
import { resolveContainer } from '../resolve.ts'
import { parsePairs } from '../select.ts'

export const command = defineCommand({
  name: 'stats',
  summary: 'Show what containers use',
  usage: 'stats [options] [CONTAINER]',
  description: 'CPU is measured over --seconds; 100 is one CPU. Only running containers are shown.',
  options: {
    id: { kind: 'string', value: 'ID', help: 'by id or start of an id' },
    pod: { kind: 'string', short: 'p', value: 'ID', help: 'of one pod' },
    label: { kind: 'list', value: 'KEY=VALUE', help: 'by label' },
    seconds: { kind: 'number', short: 's', value: 'N', help: 'how long to measure CPU use (default 1)' },
    output: outputOption,
  },
  operands: { min: 0, max: 1 },
  examples: ['coracle stats', 'coracle stats --seconds 5 web'],
  async run(context, options, [name]) {
    const id = name === undefined ? (options.id ?? '') : (await resolveContainer(context, name)).id
    const filter = { id, podSandboxId: options.pod ?? '', labelSelector: parsePairs('label', options.label) }
    const list = async () => await context.runtime.listContainerStats({ filter })
    const before = await list()
    if (options.output === 'json' || options.output === 'yaml')
      return void (await printStructured(context.out, options.output, messageToJson(ListContainerStatsResponseSchema, before)))
    await delay((options.seconds ?? 1) * 1000, context.interruption())
    printTable(context, before.stats, (await list()).stats)
  },
})

function printTable({ out }: Context, before: readonly ContainerStats[], after: readonly ContainerStats[]): void {
  const earlier = new Map(before.map((stats) => [stats.attributes?.id ?? '', stats]))
  const rows = after.map((stats) => [
    shortId(stats.attributes?.id ?? ''),
    stats.attributes?.metadata?.name ?? '',
    cpuPercent(earlier.get(stats.attributes?.id ?? ''), stats),
    formatBytes(stats.memory?.workingSetBytes?.value ?? 0n),
    formatBytes(stats.writableLayer?.usedBytes?.value ?? 0n),
    String(stats.writableLayer?.inodesUsed?.value ?? 0n),
  ])
  out.write(renderTable(['CONTAINER', 'NAME', 'CPU %', 'MEM', 'DISK', 'INODES'], rows))
}

function cpuPercent(before: ContainerStats | undefined, after: ContainerStats): string {
  const elapsedNs = Number((after.cpu?.timestamp ?? 0n) - (before?.cpu?.timestamp ?? 0n))
  const usedNs = Number((after.cpu?.usageCoreNanoSeconds?.value ?? 0n) - (before?.cpu?.usageCoreNanoSeconds?.value ?? 0n))
  return !before || elapsedNs <= 0 ? '-' : ((usedNs / elapsedNs) * 100).toFixed(2)
}
