import { precondition } from '@coracle/base/errors'
import { PodSandboxState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { forEachTarget } from '../each.ts'
import { resolvePod } from '../resolve.ts'
import { removePod } from '../run/remove-pod.ts'
import { UsageError } from '../usage-error.ts'

export const command = defineCommand({
  name: 'rmp',
  summary: 'Remove pods',
  usage: 'rmp [options] POD…',
  description: 'Removes the containers of each pod with it.',
  options: {
    all: { kind: 'flag', short: 'a', help: 'every pod that is not ready; with -f every pod' },
    force: { kind: 'flag', short: 'f', help: 'stop it first when it is ready' },
  },
  operands: { min: 0 },
  examples: ['coracle rmp 9c1d22', 'coracle rmp -f web', 'coracle rmp -fa'],
  async run(context, options, names) {
    if (options.all === names.length > 0) throw new UsageError('rmp takes either pods or --all')
    const listed = options.all ? (await context.runtime.listPodSandbox({})).items : []
    const wanted = options.force ? listed : listed.filter(({ state }) => state !== PodSandboxState.SANDBOX_READY)
    return forEachTarget(context, options.all ? wanted.map(({ id }) => id) : names, async (name) => {
      const { id, state, metadata } = await resolvePod(context, name)
      if (!options.force && state === PodSandboxState.SANDBOX_READY)
        throw precondition(`pod ${metadata?.name ?? id} is ready: stop it first (coracle stopp ${name}) or use rmp -f`)
      if (options.force) await context.runtime.stopPodSandbox({ podSandboxId: id })
      await removePod(context, { id, metadata })
      context.out.line(`Removed sandbox ${id}`)
    })
  },
})
