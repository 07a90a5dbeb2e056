import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'
import { resolveContainer } from '../resolve.ts'

export const command = defineCommand({
  name: 'stop',
  summary: 'Stop running containers',
  usage: 'stop [options] CONTAINER…',
  description: 'Sends the stop signal, waits, then kills. A container that has stopped already is no error.',
  options: {
    timeout: { kind: 'duration', short: 't', value: 'SECONDS', help: 'how long to wait before killing (default 0)' },
  },
  operands: { min: 1 },
  examples: ['coracle stop web', 'coracle stop --timeout 30 3f2a1b 77aa01'],
  run: (context, options, names) =>
    forEachTarget(context, names, async (name) => {
      const graceMs = options.timeout ?? 0
      const { id } = await resolveContainer(context, name)
      const timeoutMs = context.endpoints.timeoutMs && context.endpoints.timeoutMs + graceMs
      await context.runtime.stopContainer({ containerId: id, timeout: BigInt(Math.ceil(graceMs / 1000)) }, { timeoutMs })
      context.out.line(id)
    }),
})
