import { ListMetricDescriptorsResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { jsonFirstOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'
import { renderTable } from '../print/table.ts'

export const command = defineCommand({
  name: 'metricdescs',
  summary: 'Show which metrics of pods there are',
  usage: 'metricdescs [options]',
  options: { output: jsonFirstOption },
  operands: { min: 0, max: 0 },
  examples: ['coracle metricdescs', 'coracle metricdescs -o table'],
  async run(context, options) {
    const reply = await context.runtime.listMetricDescriptors({})
    const { output = 'json' } = options
    if (output !== 'table')
      return void (await printStructured(context.out, output, messageToJson(ListMetricDescriptorsResponseSchema, reply)))
    const rows = reply.descriptors.map(({ name, help, labelKeys }) => [name, labelKeys.join(','), help])
    context.out.write(renderTable(['METRIC', 'LABELS', 'MEANING'], rows))
  },
})
