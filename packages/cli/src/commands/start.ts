import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'
import { resolveContainer } from '../resolve.ts'

export const command = defineCommand({
  name: 'start',
  summary: 'Start created containers',
  usage: 'start CONTAINER…',
  options: {},
  operands: { min: 1 },
  examples: ['coracle start 3f2a1b'],
  run: (context, _options, names) =>
    forEachTarget(context, names, async (name) => {
      const { id } = await resolveContainer(context, name)
      await context.runtime.startContainer({ containerId: id })
      context.out.line(id)
    }),
})
