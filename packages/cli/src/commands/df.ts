import { DiskUsageResponseSchema, Store } from '@coracle/cri-api/store'
import { defineCommand } from '../command.ts'
import { renderDetails, renderSummary } from '../disk-usage/render.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'

export const command = defineCommand({
  name: 'df',
  summary: 'Show what takes the space, byte by byte',
  usage: 'df [options]',
  description:
    'Measures the directories of the runtime: images, layers that images share, containers, pulls under way, orphans, trash, records. ' +
    'Reclaimable is what would go with every image that is neither pinned nor used, with containers that have ended, and with ' +
    'what belongs to nothing.',
  options: {
    verbose: { kind: 'flag', short: 'v', help: 'each image, container and part' },
    output: outputOption,
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle df', 'coracle df -v', 'coracle df -o json'],
  async run(context, options) {
    const call = { timeoutMs: 0, signal: context.interruption() }
    const usage = await context.imageClient.service(Store).diskUsage({}, call)
    if (options.output !== undefined && options.output !== 'table')
      return void (await printStructured(context.out, options.output, messageToJson(DiskUsageResponseSchema, usage)))
    context.out.write(renderSummary(usage))
    if (options.verbose) context.out.write(renderDetails(usage))
  },
})
