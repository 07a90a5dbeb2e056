import { CodedError, precondition } from '@coracle/base/errors'
import { abortable, timeoutError, within } from '@coracle/base/signals'
import { type Container, ContainerState } from '@coracle/cri-api'
import { defineCommand } from '../command.ts'
import type { Context } from '../context.ts'
import { resolveContainer } from '../resolve.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../stream/detach-keys.ts'
import { connectOptions, type StreamOptions, streamOptions, transportOf } from '../stream/options.ts'
import { UsageError } from '../usage-error.ts'
import { stateText } from './ps.ts'

export const command = defineCommand({
  name: 'exec',
  summary: 'Run a command in a running container',
  usage: 'exec [options] CONTAINER COMMAND [ARG…]',
  description: [
    "The exit code is the command's own. -i hands it standard input, -t a terminal; -it is what a shell wants. The command and all it",
    'started end when this one does: also when the detach keys are typed.',
  ].join('\n'),
  options: {
    interactive: { kind: 'flag', short: 'i', help: 'pass standard input' },
    tty: { kind: 'flag', short: 't', help: 'give it a terminal' },
    sync: { kind: 'flag', short: 's', help: 'collect the output on the runtime’s side and show it at the end (at most 16 MiB)' },
    timeout: { kind: 'duration', value: 'DURATION', help: 'kill the command after this long' },
    'detach-keys': { kind: 'string', value: 'KEYS', help: `leave when typed (default ${DEFAULT_DETACH_KEYS}); "" for none` },
    ...streamOptions,
  },
  operands: { min: 1 },
  stopAtOperand: true,
  examples: [
    'coracle exec -it web sh',
    'coracle exec web cat /etc/hostname',
    'coracle exec -i web sh -c "cat > /tmp/x" < x',
    'coracle exec --timeout 5s web -- sh -c "sleep 60"',
  ],
  async run(context, options, [name = '', ...words]) {
    const cmd = words[0] === '--' ? words.slice(1) : words
    if (cmd.length === 0) throw new UsageError('exec needs a command to run')
    if (options.sync && (options.interactive || options.tty)) throw new UsageError('--sync goes with neither -i nor -t')
    const detachKeys = parseDetachKeys(options['detach-keys'] ?? DEFAULT_DETACH_KEYS)
    const container = await resolveContainer(context, name)
    if (container.state !== ContainerState.CONTAINER_RUNNING)
      throw precondition(`container ${name} is not running but ${stateText(container).toLowerCase()}: exec needs a running one`)
    if (options.sync) return await execSync(context, { container, cmd, timeoutMs: options.timeout ?? 0 })
    return await execStreaming(context, { container, cmd, options, detachKeys })
  },
})

type SyncRequest = { readonly container: Container; readonly cmd: string[]; readonly timeoutMs: number }

async function execSync(context: Context, { container, cmd, timeoutMs }: SyncRequest): Promise<number> {
  const timeoutSeconds = Math.ceil(timeoutMs / 1000)
  const { stdout, stderr, exitCode } = await context.runtime.execSync(
    { containerId: container.id, cmd, timeout: BigInt(timeoutSeconds) },
    { timeoutMs: timeoutSeconds > 0 ? timeoutSeconds * 1000 + 10_000 : 0, signal: context.interruption() },
  )
  context.out.write(stdout)
  context.err.write(stderr)
  return exitCode
}

type StreamRequest = {
  readonly container: Container
  readonly cmd: string[]
  readonly options: StreamOptions & {
    readonly interactive: boolean
    readonly tty: boolean
    readonly timeout: number | undefined
  }
  readonly detachKeys: Buffer
}

async function execStreaming(context: Context, { container, cmd, options, detachKeys }: StreamRequest): Promise<number> {
  const { interactive: stdin, tty, timeout } = options
  const interruption = context.interruption()
  const signal = timeout ? within(interruption, timeout) : interruption
  const selection = { tty, stdin, stdout: true, stderr: !tty }
  const [{ url }, { connectExec }, { runSession }] = await Promise.all([
    context.runtime.exec({ containerId: container.id, cmd, ...selection }, { signal }),
    import('@coracle/streaming/client'),
    import('../stream/session.ts'),
  ])
  const dial = { ...(await connectOptions(options, signal)), transport: transportOf(options), selection }
  try {
    const end = await runSession(await abortable(connectExec(url, dial), signal), { tty, detachKeys, signal })
    if (end.kind === 'ended') return end.exitCode
    context.err.line('\ncoracle: left the session, which ends the command')
    return 129
  } catch (err) {
    if (!signal.aborted || interruption.aborted) throw err
    throw new CodedError('deadline_exceeded', 'exec', { cause: timeoutError('command', timeout ?? 0) })
  }
}
