import { StatusResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { templateOption } from '../print/output-options.ts'
import { messageToJson, parseInfo, printStructured } from '../print/structured.ts'
import { renderTemplate } from '../print/template.ts'

export const command = defineCommand({
  name: 'info',
  summary: 'Show status and configuration of the runtime',
  usage: 'info [options]',
  options: {
    output: {
      kind: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['json', 'yaml', 'go-template'],
      help: 'json (default), yaml or go-template',
    },
    template: templateOption,
    quiet: { kind: 'flag', short: 'q', help: 'without the runtime’s own information' },
  },
  operands: { min: 0, max: 0 },
  examples: ['coracle info', "coracle info -o go-template --template '{{json .status.conditions}}'"],
  async run({ runtime, out }, options) {
    const reply = await runtime.status({ verbose: !options.quiet })
    const { info } = reply
    reply.info = {}
    const json = messageToJson(StatusResponseSchema, reply)
    const { info: _empty, ...status } = json as Record<string, typeof json>
    const value = { ...status, ...parseInfo(info) }
    if (options.output === 'go-template' || options.template !== undefined)
      out.line(renderTemplate(options.template ?? '', value))
    else await printStructured(out, options.output ?? 'json', value)
  },
})
