import { ListMetricDescriptorsResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderTable } from '../print/table.ts'

export const command = defineCommand({
  name: 'metricdescs',
  summary: 'Show which metrics of pods there are',
  usage: 'metricdescs [options]',
  options: { output: outputOption },
  operands: { min: 0, max: 0 },
  examples: ['coracle metricdescs', 'coracle metricdescs -o json'],
  async run(context, options) {
    const reply = await context.runtime.listMetricDescriptors({})
    if (options.output === 'json' || options.output === 'yaml')
      return void (await printStructured(context.out, options.output, messageToJson(ListMetricDescriptorsResponseSchema, reply)))
    const rows = reply.descriptors.map(({ name, help, labelKeys }) => [name, labelKeys.join(','), help])
    context.out.write(renderTable(['METRIC', 'LABELS', 'MEANING'], rows))
  },
})
