import { precondition } from '@coracle/base/errors'
import { ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'
import { resolveContainer } from '../resolve.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'rm',
  summary: 'Remove containers',
  usage: 'rm [options] CONTAINER…',
  options: {
    all: { kind: 'flag', short: 'a', help: 'every container that is not running; with -f every container' },
    force: { kind: 'flag', short: 'f', help: 'stop it first when it runs' },
  },
  operands: { min: 0 },
  examples: ['coracle rm 3f2a1b', 'coracle rm -f web', 'coracle rm -a'],
  async run(context, options, names) {
    if (options.all === names.length > 0) throw new UsageError('rm takes either containers or --all')
    const listed = options.all ? (await context.runtime.listContainers({})).containers : []
    const wanted = options.force ? listed : listed.filter(({ state }) => state !== ContainerState.CONTAINER_RUNNING)
    return forEachTarget(context, options.all ? wanted.map(({ id }) => id) : names, async (name) => {
      const { id, state, metadata } = await resolveContainer(context, name)
      if (state === ContainerState.CONTAINER_RUNNING) {
        if (!options.force)
          throw precondition(`container ${metadata?.name ?? id} is running: stop it first (coracle stop ${name}) or use rm -f`)
        await context.runtime.stopContainer({ containerId: id, timeout: 0n })
      }
      await context.runtime.removeContainer({ containerId: id })
      context.out.line(id)
    })
  },
})
