import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'
import { resolvePod } from '../resolve.ts'

export const command = defineCommand({
  name: 'stopp',
  summary: 'Stop pods',
  usage: 'stopp POD…',
  description: 'Kills the containers of each pod and gives its network back. A pod that has stopped already is no error.',
  options: {},
  operands: { min: 1 },
  examples: ['coracle stopp web', 'coracle stopp 9c1d22 kube-system/dns'],
  run: (context, _options, names) =>
    forEachTarget(context, names, async (name) => {
      const { id } = await resolvePod(context, name)
      await context.runtime.stopPodSandbox({ podSandboxId: id })
      context.out.line(`Stopped sandbox ${id}`)
    }),
})
