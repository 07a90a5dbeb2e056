// Clients of exec and attach.
import type { Readable, Writable } from 'node:stream'
import { doing } from '@coracle/base/errors'
import { abortable } from '@coracle/base/signals'
import { type Channel, sessionGone } from '../channel.ts'
import { parseStatusMessage, type ReportedEnd } from '../exit-status.ts'
import { spdyCommandProtocols } from '../remote-command-spdy.ts'
import { commandChannel, webSocketCommandProtocols } from '../remote-command-websocket.ts'
import { type SpdyOptions, SpdySession } from '../spdy/session.ts'
import type { StdioSelection, TerminalSize } from '../target.ts'
import { ChannelSession } from '../websocket/channels.ts'
import { WebSocketConnection } from '../websocket/connection.ts'
import { type ConnectOptions, upgradeToSpdy, upgradeToWebSocket } from './upgrade.ts'

export type Transport = 'spdy' | 'websocket'

export interface CommandConnectOptions extends ConnectOptions {
  readonly transport: Transport
  /** As in the request the URL was made for. */
  readonly selection: StdioSelection
  /** Protocol names in order of preference. Default: all, newest first. */
  readonly protocols?: readonly string[]
}

/** A running exec or attach, seen from its client. */
export interface CommandConnection {
  /** The protocol the server chose. */
  readonly protocol: string
  /** Ending it half-closes stdin where the protocol can (SPDY, WebSocket v5). */
  readonly stdin: Writable | undefined
  readonly stdout: Readable | undefined
  readonly stderr: Readable | undefined
  resize(size: TerminalSize): void
  /**
   * How it ended, as the server reports it; read the output meanwhile, which is whole only when the streams ended. Rejects with
   * `canceled` when the session ended before.
   */
  readonly ended: Promise<ReportedEnd>
  /** Leaves: an exec is ended by it, an attached container goes on. Idempotent. */
  close(): void
}

const INTAKE_BYTES = 2 * 1024 * 1024

const spdyOptions: SpdyOptions = {
  role: 'client',
  maxStreams: 0,
  streamWindowBytes: INTAKE_BYTES / 2,
  intakeBytes: INTAKE_BYTES,
}

/** Connects to the URL of an Exec reply. Throws by HTTP status, see `upgradeToSpdy`. */
export async function connectExec(url: string, options: CommandConnectOptions): Promise<CommandConnection> {
  return options.transport === 'spdy' ? await connectSpdy(url, options) : await connectWebSocket(url, options)
}

/** Connects to the URL of an Attach reply. */
export const connectAttach = connectExec

async function connectSpdy(url: string, options: CommandConnectOptions): Promise<CommandConnection> {
  const { selection } = options
  const { wire, protocol } = await upgradeToSpdy(url, options.protocols ?? spdyCommandProtocols, options)
  const session = new SpdySession(wire, spdyOptions, {
    accept: () => false,
    closed: () => undefined,
  })
  session.start()
  // Peers before v4 take the error stream as the first one.
  const replies: Promise<unknown>[] = []
  const open = (type: string, wanted: boolean): Channel | undefined => {
    if (!wanted) return undefined
    const stream = session.open(new Map([['streamtype', type]]))
    stream.gentle = true
    replies.push(stream.reply)
    return stream.channel
  }
  const channels = {
    error: open('error', true) as Channel, // wanted
    stdin: open('stdin', selection.stdin),
    stdout: open('stdout', selection.stdout),
    stderr: open('stderr', selection.stderr),
    resize: open('resize', selection.tty && protocol !== '' && !/^(v2\.)?channel/.test(protocol)),
  }
  await doing('open the streams', () => abortable(Promise.all(replies), options.signal)).catch((err) => {
    session.destroy('streams not opened')
    throw err
  })
  return commandConnection(channels, {
    protocol,
    close: () => session.destroy('closed by the client'),
  })
}

async function connectWebSocket(url: string, options: CommandConnectOptions): Promise<CommandConnection> {
  const { selection } = options
  const names = options.protocols ?? Object.keys(webSocketCommandProtocols).reverse()
  const { wire, protocol } = await upgradeToWebSocket(
    url,
    names.filter((name) => name !== ''),
    options,
  )
  const known = webSocketCommandProtocols[protocol]
  if (known === undefined) {
    wire.destroy()
    throw sessionGone(`server chose the unknown protocol ${protocol}`)
  }
  const connection = new WebSocketConnection(wire, 'client', INTAKE_BYTES)
  const session = new ChannelSession(connection, known)
  const open = (key: number, wanted: boolean): Channel | undefined => (wanted ? session.channel(key) : undefined)
  const channels = {
    error: session.channel(commandChannel.error),
    stdin: open(commandChannel.stdin, selection.stdin),
    stdout: open(commandChannel.stdout, selection.stdout),
    stderr: open(commandChannel.stderr, selection.stderr),
    resize: open(commandChannel.resize, selection.tty),
  }
  const result = commandConnection(channels, {
    protocol,
    close: () => connection.leave(),
  })
  session.start(() => undefined)
  return result
}

interface ClientChannels {
  readonly error: Channel
  readonly stdin: Channel | undefined
  readonly stdout: Channel | undefined
  readonly stderr: Channel | undefined
  readonly resize: Channel | undefined
}

interface ClientSession {
  readonly protocol: string
  close(): void
}

function commandConnection(channels: ClientChannels, session: ClientSession): CommandConnection {
  const { stdin, stdout, stderr, resize } = channels
  const ended = readEnd(channels.error)
  // Whoever only reads the output need not listen.
  ended.catch(() => undefined)
  return {
    protocol: session.protocol,
    stdin: stdin?.writable,
    stdout: stdout?.readable,
    stderr: stderr?.readable,
    resize({ columns, rows }) {
      if (resize?.writable.writable) resize.writable.write(`${JSON.stringify({ Width: columns, Height: rows })}\n`)
    },
    ended,
    close: session.close,
  }
}

const MAX_REPORT_CHARACTERS = 64 * 1024

async function readEnd(error: Channel): Promise<ReportedEnd> {
  let report = ''
  try {
    for await (const chunk of error.readable) {
      // A readable without an encoding gives buffers.
      report = (report + (chunk as Buffer).toString('utf8')).slice(0, MAX_REPORT_CHARACTERS)
    }
  } catch (err) {
    // Some servers cut the connection right after their report.
    if (report === '') throw err
  }
  return parseStatusMessage(report)
}
