// What the streaming server runs for its clients: exec, attach and connections into a pod.
import { connect, Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex, Readable, Writable } from 'node:stream'
import { CodedError, precondition } from '@coracle/base/errors'
import { abortable } from '@coracle/base/signals'
import { stage } from '@coracle/base/stages'
import { execProcess } from '@coracle/container-spec'
import type { AttachSession, ExecSession } from '@coracle/oci-runtime'
import type { ClientStreams, StreamAttachRequest, StreamExecRequest, StreamTarget } from '@coracle/streaming'
import { runtimeOf } from '../handlers.ts'
import { containerPaths, podLayout } from '../layout.ts'
import { type CreatedContainer, isCreated, type RunningContainer } from '../model/container.ts'
import { isHostNetwork, isReady } from '../model/pod.ts'
import type { Services } from '../services.ts'
import { requireRunning } from './exec-sync.ts'
import { Forwarding, forward } from './forwarding.ts'

/** Output of a container held for one attached client that reads slowly, in bytes; then that client is dropped, never the container slowed. */
const attachBacklogBytes = 4 * 1024 * 1024

export function streamTarget(services: Services): StreamTarget {
  return {
    exec: (request, streams, signal) =>
      stage(['exec session', request.command[0] ?? ''], () => exec(services, request, { streams, signal }), sessionIn(request)),
    attach: (request, streams, signal) =>
      stage(['attach session', ''], () => attach(services, request, { streams, signal }), sessionIn(request)),
    dial: (podId, port, signal) =>
      stage(['port forward', `port ${port}`], () => dial(services, { podId, port }, signal), { subject: { podId } }),
  }
}

const sessionIn = ({ containerId }: { readonly containerId: string }) => ({ isSession: true, subject: { containerId } })

interface Client {
  readonly streams: ClientStreams
  readonly signal: AbortSignal
}

async function exec(services: Services, request: StreamExecRequest, { streams, signal }: Client): Promise<number> {
  const container = requireRunning(services, request.containerId)
  const process = execProcess(container.made.process, { args: request.command, terminal: request.tty })
  const paths = containerPaths(services.settings, container.id)
  const runtime = runtimeOf(services, container)
  const session = await stage(['OCI exec', `runtime ${runtime.handler} (${runtime.program})`], () =>
    runtime.exec(paths, { process, stdin: request.stdin }, signal),
  )
  const onAbort = () => void session.terminate(request.tty)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    if (signal.aborted) onAbort()
    streams.onResize((size) => session.resize(size))
    if (streams.stdin !== undefined && session.stdin !== undefined) forward(streams.stdin, session.stdin)
    return await finish(session, streams, signal)
  } finally {
    signal.removeEventListener('abort', onAbort)
    session.stdin?.destroy()
  }
}

async function finish(session: ExecSession, streams: ClientStreams, signal: AbortSignal): Promise<number> {
  const outputs = [new Forwarding(session.stdout, streams.stdout), new Forwarding(session.stderr, streams.stderr)]
  try {
    const exitCode = await abortable(session.exited, signal)
    await abortable(Promise.all(outputs.map((output) => output.drained())), signal)
    return exitCode
  } catch (err) {
    // The client is gone: what it started ends before the session does.
    await session.terminate(false)
    throw err
  } finally {
    for (const output of outputs) output.close()
  }
}

/** A created container can be attached to as well: whoever starts it then misses none of its output. Throws as `requireRunning`. */
export function requireAttachable(services: Services, id: string): CreatedContainer | RunningContainer {
  const container = services.containers.find(id)
  return container !== undefined && isCreated(container) ? container : requireRunning(services, id)
}

async function attach(services: Services, request: StreamAttachRequest, { streams, signal }: Client): Promise<void> {
  const container = requireAttachable(services, request.containerId)
  const runtime = runtimeOf(services, container)
  const paths = containerPaths(services.settings, container.id)
  using session = await runtime.attach(paths)
  streams.onResize((size) => void runtime.resize(paths, size).catch(() => {}))
  if (streams.stdin !== undefined && container.config.stdin) void sendInput(streams.stdin, session)
  await abortable(receiveOutput(session, streams), signal)
}

async function sendInput(stdin: Readable, session: AttachSession): Promise<void> {
  try {
    for await (const chunk of stdin) await session.write(chunk as Buffer)
    session.endInput()
  } catch {
    // The client left without ending its input: the container keeps it open.
  }
}

async function receiveOutput(session: AttachSession, streams: ClientStreams): Promise<void> {
  for await (const { stream, data } of session.output) {
    const client: Writable | undefined = streams[stream]
    if (client === undefined) continue
    if (client.destroyed) return
    client.write(data)
    if (client.writableLength > attachBacklogBytes) {
      throw new CodedError(
        'resource_exhausted',
        `the client reads slower than the container writes: ${client.writableLength} bytes wait for it`,
      )
    }
  }
}

async function dial(services: Services, { podId, port }: { podId: string; port: number }, signal: AbortSignal): Promise<Duplex> {
  const pod = services.pods.get(podId)
  if (!isReady(pod)) throw precondition(`pod sandbox ${pod.id} is not ready`)
  const netns = join(podLayout(services.settings, pod.id).namespaces, 'net')
  const dialOne = (address: string) =>
    isHostNetwork(pod.config) ? dialHost(address, port, signal) : dialNamespace(services, { netns, address, port }, signal)
  try {
    return await dialOne('127.0.0.1')
  } catch (first) {
    signal.throwIfAborted()
    try {
      return await dialOne('::1')
    } catch {
      throw first
    }
  }
}

async function dialNamespace(
  { host }: Services,
  { netns, address, port }: { netns: string; address: string; port: number },
  signal: AbortSignal,
): Promise<Duplex> {
  const fd = await host.namespaces.dial(netns, address, port, signal)
  return new Socket({ fd, allowHalfOpen: true, readable: true, writable: true })
}

function dialHost(address: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>()
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.once('connect', () => resolve(socket))
  socket.once('error', reject)
  signal.addEventListener('abort', () => socket.destroy(new CodedError('canceled', 'the client left')), { once: true })
  return promise
}
