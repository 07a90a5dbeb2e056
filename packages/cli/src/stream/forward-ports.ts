// Local listeners whose connections lead into a pod.
import { createServer, type Server, type Socket } from 'node:net'
import { CodedError, explain } from '@coracle/base/errors'
import { abortable } from '@coracle/base/signals'
import type { Context } from '../context.ts'
import { UsageError } from '../usage-error.ts'
import type { StreamOptions } from './options.ts'
import { openPortSessions, type PortSessions } from './port-sessions.ts'

export type PortPair = {
  /** 0: the system's choice. */
  readonly local: number
  readonly remote: number
}

/** `REMOTE`, `LOCAL:REMOTE`, `:REMOTE`. @throws UsageError naming the text. */
export function parsePortPair(text: string): PortPair {
  const match = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(text)
  const remote = Number(match?.[2])
  const local = match?.[1] === undefined ? remote : Number(match[1])
  if (!match || remote < 1 || remote > 65_535 || local > 65_535)
    throw new UsageError(`port "${text}"; expected REMOTE, LOCAL:REMOTE or :REMOTE with ports up to 65535`)
  return { local, remote }
}

export type ForwardRequest = {
  readonly podSandboxId: string
  readonly pairs: readonly PortPair[]
  readonly addresses: readonly string[]
  readonly stream: StreamOptions
}

/** Forwards until interrupted. @throws the interruption; `unavailable` when the session with the runtime breaks off. */
export async function forwardPorts(context: Context, request: ForwardRequest): Promise<never> {
  const { podSandboxId, pairs, stream } = request
  const signal = context.interruption()
  const sessions = await openPortSessions(context, { podSandboxId, ports: pairs.map(({ remote }) => remote), stream })
  const servers: Server[] = []
  const sockets = new Set<Socket>()
  try {
    for (const pair of pairs) servers.push(...(await listenAll(context, request.addresses, { pair, sessions, sockets })))
    const reason = await abortable(sessions.closed, signal)
    throw new CodedError('unavailable', `the session with the runtime is over: ${reason}`)
  } finally {
    for (const server of servers) server.close()
    for (const socket of sockets) socket.destroy()
    sessions.close()
  }
}

interface Forward {
  readonly pair: PortPair
  readonly sessions: PortSessions
  readonly sockets: Set<Socket>
}

/** One port on all addresses. An address that this machine has not (IPv6 switched off) is left out as long as one remains. */
async function listenAll(context: Context, addresses: readonly string[], forward: Forward): Promise<Server[]> {
  const servers: Server[] = []
  let { local } = forward.pair
  let failure: unknown
  for (const address of addresses) {
    try {
      const server = await listen(context, { address, port: local }, forward)
      servers.push(server)
      const bound = server.address()
      if (typeof bound === 'object' && bound !== null) local = bound.port
      const shown = address.includes(':') ? `[${address}]` : address
      context.out.line(`Forwarding from ${shown}:${local} -> ${forward.pair.remote}`)
    } catch (err) {
      failure ??= err
      if (!isAbsentAddress(err)) break
    }
  }
  if (servers.length > 0 && (failure === undefined || isAbsentAddress(failure))) return servers
  for (const server of servers) server.close()
  throw new CodedError('unavailable', `listen on port ${local}: choose another with LOCAL:${forward.pair.remote}`, {
    cause: failure,
  })
}

const isAbsentAddress = (err: unknown): boolean =>
  err instanceof Error && 'code' in err && (err.code === 'EADDRNOTAVAIL' || err.code === 'EAFNOSUPPORT')

async function listen(
  context: Context,
  { address, port }: { readonly address: string; readonly port: number },
  forward: Forward,
): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const server = createServer({ allowHalfOpen: true }, (socket) => void carry(context, socket, forward))
  server.once('error', reject)
  server.listen({ host: address, port, ipv6Only: true }, resolve)
  await promise
  server.off('error', reject)
  server.on('error', (err) => context.err.line(`coracle: port ${port}: ${explain(err)}`))
  return server
}

/** One connection, to its end. Failures are reported and stay its own. */
async function carry(context: Context, socket: Socket, { pair, sessions, sockets }: Forward): Promise<void> {
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
  socket.on('error', () => socket.destroy())
  try {
    const { readable, writable, done } = await sessions.open(pair.remote)
    socket.pipe(writable)
    readable.pipe(socket)
    socket.once('close', () => {
      readable.destroy()
      writable.destroy()
    })
    readable.once('error', () => socket.destroy())
    writable.once('error', () => socket.unpipe(writable))
    await done
  } catch (error) {
    socket.destroy()
    if (context.interruption().aborted) return
    context.err.line(`coracle: connection to port ${pair.remote} failed: ${explain(error).replaceAll(/\s*\n\s*/g, ' ')}`)
  }
}
