import { ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { forEachTarget } from '../each.ts'
import { resolveContainer } from '../resolve.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'stop',
  summary: 'Stop running containers',
  usage: 'stop [options] [CONTAINER…]',
  description: 'Sends the stop signal, waits, then kills. A container that has stopped already is no error.',
  options: {
    all: { kind: 'flag', short: 'a', help: 'every running container' },
    timeout: { kind: 'duration', short: 't', value: 'SECONDS', help: 'how long to wait before killing (default 0)' },
  },
  operands: { min: 0 },
  examples: ['coracle stop web', 'coracle stop --timeout 30 3f2a1b 77aa01'],
  async run(context, options, names) {
    if (options.all === names.length > 0) throw new UsageError('stop takes either containers or --all')
    const targets = options.all ? await runningIds(context) : names
    return forEachTarget(context, targets, async (name) => {
      const graceMs = options.timeout ?? 0
      const { id } = await resolveContainer(context, name)
      const timeoutMs = context.endpoints.timeoutMs && context.endpoints.timeoutMs + graceMs
      await context.runtime.stopContainer({ containerId: id, timeout: BigInt(Math.ceil(graceMs / 1000)) }, { timeoutMs })
      context.out.line(id)
    })
  },
})

async function runningIds({ runtime }: Context): Promise<string[]> {
  const { containers } = await runtime.listContainers({ filter: { state: { state: ContainerState.CONTAINER_RUNNING } } })
  return containers.map(({ id }) => id)
}
