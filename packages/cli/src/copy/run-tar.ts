// The container's own tar at the other end of a stream.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CodedError, explain, failed } from '@coracle/base/errors'
import { abortable } from '@coracle/base/signals'
import type { CommandConnection } from '@coracle/streaming/client'
import type { Context } from '../context.ts'
import { connectOptions, type StreamOptions, transportOf } from '../stream/options.ts'

export interface TarRun {
  readonly containerId: string
  /** As the user named the container: for messages. */
  readonly container: string
  /** The arguments of `tar`. */
  readonly args: readonly string[]
  readonly stream: StreamOptions
}

/** Feeds the container's tar. @throws what it complained about; `failed_precondition` when the container has none. */
export async function sendToTar(context: Context, run: TarRun, archive: AsyncIterable<Buffer>): Promise<void> {
  await withTar(context, run, async ({ stdin }) => {
    // `withTar` knows better why tar stopped reading.
    if (stdin) await pipeline(Readable.from(archive, { objectMode: false, highWaterMark: 1 << 20 }), stdin)
  })
}

/** Reads what the container's tar writes. @throws as `sendToTar`, or what `read` throws. */
export async function receiveFromTar(
  context: Context,
  run: TarRun,
  read: (archive: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  await withTar(context, run, async ({ stdout }) => {
    if (!stdout) return
    // A readable without an encoding gives buffers; it stays open for what follows the archive's end.
    await read(stdout.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
    stdout.resume()
  })
}

async function withTar(context: Context, run: TarRun, transfer: (connection: CommandConnection) => Promise<void>): Promise<void> {
  const signal = context.interruption()
  const sends = run.args.includes('-xf')
  const selection = { tty: false, stdin: sends, stdout: true, stderr: true }
  const [{ url }, { connectExec }] = await Promise.all([
    context.runtime.exec({ containerId: run.containerId, cmd: ['tar', ...run.args], ...selection }, { signal }),
    import('@coracle/streaming/client'),
  ])
  const dial = { ...(await connectOptions(run.stream, signal)), transport: transportOf(run.stream), selection }
  const connection = await connectExec(url, dial)
  try {
    const complaint = collectText(connection.stderr)
    if (sends) connection.stdout?.resume()
    const moved = transfer(connection).then(
      () => undefined,
      (err: unknown) => ({ err }),
    )
    // A transfer that failed here (a full disk, a hostile archive) does not wait for tar's own end.
    const ended = connection.ended.then((end) => ({ end }))
    const first = await abortable(Promise.race([ended, moved]), signal)
    if (first && 'err' in first && !sends) throw first.err
    const { end } = await abortable(ended, signal)
    if (end.failure) throw asMissingTar(run.container, end.failure)
    if (end.exitCode === 127 || end.exitCode === 126) throw noTar(run.container)
    const problem = await abortable(moved, signal)
    const words = printable(await complaint)
    if (end.exitCode !== 0)
      throw new CodedError('aborted', `tar in container ${run.container} ended with exit code ${end.exitCode}: ${words}`)
    if (problem) throw problem.err
    if (words !== '') context.err.line(`coracle: tar in container ${run.container} says: ${words}`)
  } finally {
    connection.close()
  }
}

const noTar = (container: string): CodedError =>
  new CodedError(
    'failed_precondition',
    `container ${container} has no tar, which cp needs: coracle debug ${container} has one, and sees its files in /proc/1/root`,
  )

function asMissingTar(container: string, failure: { readonly code: CodedError['code']; readonly message: string }): CodedError {
  if (/no such file|not found|cannot find/i.test(failure.message)) return noTar(container)
  return failed(`run tar in container ${container}`, new CodedError(failure.code, failure.message))
}

const MAX_COMPLAINT_CHARACTERS = 2000

async function collectText(source: Readable | undefined): Promise<string> {
  let text = ''
  try {
    for await (const piece of source ?? []) text = (text + (piece as Buffer).toString('utf8')).slice(0, MAX_COMPLAINT_CHARACTERS)
  } catch (err) {
    text ||= explain(err)
  }
  return text
}

/** What comes from a container must not steer the user's terminal. */
const printable = (text: string): string =>
  text
    .trim()
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[^\P{C} ]/gu, '?')
