import { RuntimeFeaturesSchema, RuntimeHandlerSchema, RuntimeStatusSchema } from '@coracle/cri-api'
import { toJson } from '@coracle/cri-api/json'
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
    const { status, features, runtimeHandlers, info } = reply
    // As crictl has it: what is not so is left out, names as in the proto file.
    const asInProto = { useProtoFieldName: true }
    const value = {
      ...(status === undefined ? {} : { status: messageToJson(RuntimeStatusSchema, status) }),
      runtimeHandlers: runtimeHandlers.map((handler) => toJson(RuntimeHandlerSchema, handler, asInProto)),
      ...(features === undefined ? {} : { features: toJson(RuntimeFeaturesSchema, features, asInProto) }),
      ...parseInfo(info),
    }
    if (options.output === 'go-template' || options.template !== undefined)
      out.line(renderTemplate(options.template ?? '', value))
    else await printStructured(out, options.output ?? 'json', value)
  },
})
