import { CodedError, precondition } from '@coracle/base/errors'
import { ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import { resolveContainer } from '../resolve.ts'
import { UsageError } from '../usage-error.ts'
import { stateText } from './ps.ts'

export const command = defineCommand({
  name: 'exec',
  summary: 'Run a command in a running container',
  usage: 'exec [options] CONTAINER COMMAND [ARG…]',
  description: "Output comes when the command has ended; the exit code is the command's own. Without input and terminal.",
  options: {
    sync: { kind: 'flag', short: 's', help: 'collect the output on the runtime’s side; the only way yet, and so the default' },
    timeout: { kind: 'duration', value: 'DURATION', help: 'kill the command after this long' },
    interactive: { kind: 'flag', short: 'i', help: 'pass standard input (not offered yet)' },
    tty: { kind: 'flag', short: 't', help: 'give it a terminal (not offered yet)' },
  },
  operands: { min: 1 },
  stopAtOperand: true,
  examples: ['coracle exec web cat /etc/hostname', 'coracle exec --timeout 5s web -- sh -c "sleep 60"'],
  async run(context, options, [name = '', ...words]) {
    const cmd = words[0] === '--' ? words.slice(1) : words
    if (cmd.length === 0) throw new UsageError('exec needs a command to run')
    // The streaming Exec call goes here once this command can speak to the streaming server.
    if (options.interactive || options.tty)
      throw new CodedError(
        'unimplemented',
        'exec with -i or -t is not built yet: leave them out to run the command without input and terminal',
      )
    const container = await resolveContainer(context, name)
    if (container.state !== ContainerState.CONTAINER_RUNNING)
      throw precondition(`container ${name} is not running but ${stateText(container).toLowerCase()}: exec needs a running one`)
    const timeoutSeconds = Math.ceil((options.timeout ?? 0) / 1000)
    const { stdout, stderr, exitCode } = await context.runtime.execSync(
      { containerId: container.id, cmd, timeout: BigInt(timeoutSeconds) },
      { timeoutMs: timeoutSeconds > 0 ? timeoutSeconds * 1000 + 10_000 : 0, signal: context.interruption() },
    )
    context.out.write(stdout)
    context.err.write(stderr)
    return exitCode
  },
})
