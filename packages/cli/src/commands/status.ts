import { StatusResponseSchema } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { outputOption } from '../print/output-options.ts'
import { messageToJson, printStructured } from '../print/structured.ts'

export const command = defineCommand({
  name: 'status',
  summary: 'Show whether the runtime is ready',
  usage: 'status [options]',
  description: 'Exit code 1 when a condition of the runtime does not hold.',
  options: { output: outputOption },
  operands: { min: 0, max: 0 },
  examples: ['coracle status', 'coracle status -o json'],
  async run({ runtime, endpoints, out }, options) {
    const reply = await runtime.status({})
    const conditions = reply.status?.conditions ?? []
    const exitCode = conditions.length > 0 && conditions.every(({ status }) => status) ? 0 : 1
    if (options.output === 'json' || options.output === 'yaml') {
      await printStructured(out, options.output, messageToJson(StatusResponseSchema, reply))
      return exitCode
    }
    const { runtimeName, runtimeVersion } = await runtime.version({})
    out.line(`${runtimeName} ${runtimeVersion} at ${endpoints.runtimeSocket}`)
    for (const { type, status, reason, message } of conditions) {
      const mark = status ? out.paint('green', 'ok     ') : out.paint('red', 'not ok ')
      const why = status ? '' : [reason, message].filter(Boolean).join(': ')
      out.line(`${mark} ${type}${why ? ` - ${why}` : ''}`)
    }
    const handlers = reply.runtimeHandlers.map(({ name }) => name || '(default)')
    if (handlers.length > 0) out.line(`runtime handlers: ${handlers.join(', ')}`)
    return exitCode
  },
})
