// The user's side of an exec or attach: standard streams and terminal tied to the session until it ends.
import type { Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { CodedError } from '@coracle/base/errors'
import { abortable } from '@coracle/base/signals'
import type { CommandConnection } from '@coracle/streaming/client'
import { Interrupted } from '../context.ts'
import { DetachWatch } from './detach-keys.ts'
import { followSize, rawTerminal } from './terminal.ts'

export type SessionOptions = {
  readonly tty: boolean
  /** Leave the session when typed; only with a terminal. Empty: never. */
  readonly detachKeys: Buffer
  /** Leaves the session, which then rejects with the reason. */
  readonly signal: AbortSignal
}

export type SessionEnd = { readonly kind: 'ended'; readonly exitCode: number } | { readonly kind: 'detached' }

/**
 * Runs until the remote side has ended and all its output is written, or the user left.
 * @throws what the server reports as a failure; the signal's reason.
 */
export async function runSession(connection: CommandConnection, options: SessionOptions): Promise<SessionEnd> {
  const hangUp = new AbortController()
  using _hangUp = onHangUp(() => hangUp.abort(new Interrupted('SIGHUP')))
  const signal = AbortSignal.any([options.signal, hangUp.signal])
  using _raw = options.tty && connection.stdin ? rawTerminal() : undefined
  using _size = options.tty ? followSize((size) => connection.resize(size)) : undefined
  const detached = Promise.withResolvers<SessionEnd>()
  using _input = connection.stdin && sendInput(connection.stdin, options, () => detached.resolve({ kind: 'detached' }))
  try {
    return await abortable(Promise.race([untilEnd(connection), detached.promise]), signal)
  } finally {
    connection.close()
  }
}

async function untilEnd({ stdout, stderr, ended }: CommandConnection): Promise<SessionEnd> {
  const [{ exitCode, failure }] = await Promise.all([ended, show(stdout, process.stdout), show(stderr, process.stderr)])
  if (failure) throw new CodedError(failure.code, failure.message.replace(/^Internal error occurred: /, ''))
  return { kind: 'ended', exitCode }
}

async function show(output: Readable | undefined, screen: NodeJS.WriteStream): Promise<void> {
  if (output === undefined) return
  output.pipe(screen, { end: false })
  // A session that breaks off is told by `ended`, with more to say.
  await finished(output, { writable: false }).catch(() => undefined)
}

/** What is typed or piped in goes to `target`, its end too. Disposing stops reading: the process can end. */
function sendInput(target: Writable, options: SessionOptions, onDetach: () => void): Disposable {
  const { stdin } = process
  const watch = new DetachWatch(options.tty && stdin.isTTY ? options.detachKeys : Buffer.alloc(0))
  const onData = (typed: Buffer) => {
    const { pass, detached } = watch.feed(typed)
    if (pass.length > 0 && !target.write(pass)) {
      stdin.pause()
      target.once('drain', () => stdin.resume())
    }
    if (detached) onDetach()
  }
  const onEnd = () => void target.end()
  stdin.on('data', onData)
  stdin.once('end', onEnd)
  // The other side may have ended meanwhile: nobody wants the rest.
  target.on('error', () => stdin.pause())
  return {
    [Symbol.dispose]: () => {
      stdin.off('data', onData)
      stdin.off('end', onEnd)
      stdin.pause()
      // A pipe or terminal that is only paused still keeps the process alive while a read is under way.
      if ('unref' in stdin) stdin.unref()
    },
  }
}

/** The terminal's window was closed: the session ends with it. */
function onHangUp(leave: () => void): Disposable {
  process.on('SIGHUP', leave)
  return { [Symbol.dispose]: () => void process.off('SIGHUP', leave) }
}
