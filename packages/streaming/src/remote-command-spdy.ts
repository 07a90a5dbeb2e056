// Exec and attach over SPDY: the client opens one stream for each of its ends, named by the header `streamType`.
import { type CodedError, failed } from '@coracle/base/errors'
import { timeoutError } from '@coracle/base/signals'
import { sessionGone } from './channel.ts'
import { commandClient, type RemoteCommandClient, sessionLife } from './remote-command.ts'
import { type SpdyOptions, SpdySession } from './spdy/session.ts'
import type { SpdyStream } from './spdy/stream.ts'
import type { StdioSelection } from './target.ts'
import type { Wire } from './wire.ts'

/** In the order of our liking; `` is a client of before the negotiation, which means v1. */
export const spdyCommandProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'] as const

const commandSession: SpdyOptions = {
  role: 'server',
  maxStreams: 8,
  streamWindowBytes: 512 * 1024,
  intakeBytes: 1024 * 1024,
}

export interface CommandOptions {
  readonly selection: StdioSelection
  readonly protocol: string
  readonly creationTimeoutMs: number
}

/** Rejects with `deadline_exceeded` when the client has not opened its streams in time, with `canceled` when it left before. */
export async function acceptSpdyCommand(wire: Wire, options: CommandOptions): Promise<RemoteCommandClient> {
  const life = sessionLife()
  const streams = new Map<string, SpdyStream>()
  const wanted = expectedTypes(options.selection)
  const complete = Promise.withResolvers<void>()
  const session = new SpdySession(wire, commandSession, {
    accept(stream) {
      const type = (stream.headers.get('streamtype') ?? '').toLowerCase()
      if (type === '' || streams.has(type)) return false
      stream.gentle = true
      streams.set(type, stream)
      if (type === 'resize') stream.channel.readable.on('data', (chunk: Buffer) => life.resize.push(chunk))
      else if (type !== 'stdin' || !options.selection.stdin) stream.channel.discardInput()
      if (wanted.every((name) => streams.has(name))) complete.resolve()
      return true
    },
    closed(reason) {
      life.closed(reason)
      complete.reject(sessionGone(reason))
    },
  })
  session.start()
  const timer = setTimeout(
    () => complete.reject(timeoutError(`opening of ${wanted.join(', ')} streams`, options.creationTimeoutMs)),
    options.creationTimeoutMs,
  )
  try {
    await complete.promise
  } catch (err) {
    const error: CodedError = failed('wait for the streams of the client', err)
    session.destroy(error.message)
    throw error
  } finally {
    clearTimeout(timer)
  }
  const channel = (type: string) => (wanted.includes(type) ? streams.get(type)?.channel : undefined)
  return commandClient(
    {
      stdin: channel('stdin'),
      stdout: channel('stdout'),
      stderr: channel('stderr'),
      error: streams.get('error')!.channel, // among the wanted ones, all of which are there
    },
    {
      jsonStatus: options.protocol === 'v4.channel.k8s.io',
      resize: life.resize,
      gone: life.gone,
      finish: () => session.finish(),
      cut: () => session.destroy('client does not read'),
    },
  )
}

// The resize stream is not waited for: its sizes are taken whenever it comes, and old protocols have none.
function expectedTypes(selection: StdioSelection): string[] {
  const types = ['error']
  if (selection.stdin) types.push('stdin')
  if (selection.stdout) types.push('stdout')
  if (selection.stderr) types.push('stderr')
  return types
}
