import { precondition } from '@coracle/base/errors'
import { ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { resolveContainer } from '../resolve.ts'
import { attachTo, exitCodeOf } from '../stream/attach.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../stream/detach-keys.ts'
import { streamOptions } from '../stream/options.ts'
import { stateText } from './ps.ts'

export const command = defineCommand({
  name: 'attach',
  summary: 'Connect to the standard streams of a running container',
  usage: 'attach [options] CONTAINER',
  description: [
    'Shows what the container writes from now on; coracle logs shows what it wrote before. The container goes on when this command is',
    'left by the detach keys or Ctrl-C. When the container ends meanwhile, its exit code is the one of this command.',
  ].join('\n'),
  options: {
    interactive: { kind: 'flag', short: 'i', help: 'pass standard input; the container must have been created with stdin' },
    tty: { kind: 'flag', short: 't', help: 'hand over this terminal; the container must have been created with one' },
    'detach-keys': { kind: 'string', value: 'KEYS', help: `leave when typed (default ${DEFAULT_DETACH_KEYS}); "" for none` },
    ...streamOptions,
  },
  operands: { min: 1, max: 1 },
  examples: ['coracle attach web', 'coracle attach -it shell', 'echo quit | coracle attach -i game'],
  async run(context, options, [name = '']) {
    const detachKeys = parseDetachKeys(options['detach-keys'] ?? DEFAULT_DETACH_KEYS)
    const container = await resolveContainer(context, name)
    if (container.state !== ContainerState.CONTAINER_RUNNING)
      throw precondition(
        `container ${name} is not running but ${stateText(container).toLowerCase()}: coracle logs shows its output`,
      )
    const { interactive, tty } = options
    const session = await attachTo(context, { containerId: container.id, stdin: interactive, tty, stream: options })
    const end = await session.run({ tty, detachKeys, signal: context.interruption() })
    return end.kind === 'detached' ? 0 : await exitCodeOf(context, container.id)
  },
})
