// Streams against the daemon under test, as a kubelet opens them.
import type { Readable } from 'node:stream'
import {
  type CommandConnection,
  connectAttach,
  connectExec,
  connectPortForward,
  type PortForwardConnection,
  type PortForwardTransport,
  type Transport,
} from '@coracle/streaming/client'
import type { ContainerUnderTest, PodUnderTest } from '../cri/suite.ts'

export const transports: readonly Transport[] = ['spdy', 'websocket']

/** Of every session: a test that waits for ever shall say where. */
const LIMIT_MS = 60_000

export interface SessionOptions {
  readonly transport?: Transport
  readonly tty?: boolean
  readonly stdin?: boolean
}

const selectionOf = ({ tty = false, stdin = false }: SessionOptions) => ({ tty, stdin, stdout: true, stderr: !tty })

export async function openExec(
  container: ContainerUnderTest,
  cmd: readonly string[],
  options: SessionOptions = {},
): Promise<CommandConnection> {
  const selection = selectionOf(options)
  const { url } = await container.runtime.exec({ containerId: container.id, cmd: [...cmd], ...selection })
  return await connectExec(url, { transport: options.transport ?? 'spdy', selection, signal: AbortSignal.timeout(LIMIT_MS) })
}

export async function openAttach(container: ContainerUnderTest, options: SessionOptions = {}): Promise<CommandConnection> {
  const selection = selectionOf(options)
  const { url } = await container.runtime.attach({ containerId: container.id, ...selection })
  return await connectAttach(url, { transport: options.transport ?? 'spdy', selection, signal: AbortSignal.timeout(LIMIT_MS) })
}

export async function openForward(
  pod: PodUnderTest,
  ports: readonly number[],
  transport: PortForwardTransport = 'spdy',
): Promise<PortForwardConnection> {
  const { url } = await pod.cri.runtime.portForward({ podSandboxId: pod.id, port: [...ports] })
  return await connectPortForward(url, { transport, ports, signal: AbortSignal.timeout(LIMIT_MS) })
}

/** Everything up to the end; a stream that is cut gives what came before. */
export async function text(source: Readable | undefined): Promise<string> {
  const pieces: Buffer[] = []
  try {
    for await (const piece of source ?? []) pieces.push(piece as Buffer) // no encoding is set: buffers
  } catch {
    // The session ended before the stream did.
  }
  return Buffer.concat(pieces).toString()
}

export async function countBytes(source: Readable | undefined): Promise<number> {
  let bytes = 0
  for await (const piece of source ?? []) bytes += (piece as Buffer).length
  return bytes
}

export interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
  readonly failure: string | undefined
}

/** Reads a session to its end. */
export async function outcomeOf(session: CommandConnection): Promise<Outcome> {
  const [stdout, stderr, { exitCode, failure }] = await Promise.all([text(session.stdout), text(session.stderr), session.ended])
  return { stdout, stderr, exitCode, failure: failure?.message }
}

/** Collects output as it comes, so that a test can wait for words. */
export function watch(source: Readable | undefined): { text(): string; readonly over: Promise<void> } {
  let seen = ''
  source?.on('data', (piece: Buffer) => {
    seen += piece.toString()
  })
  const over = new Promise<void>((resolve) => source?.once('close', () => resolve()))
  return { text: () => seen, over }
}
