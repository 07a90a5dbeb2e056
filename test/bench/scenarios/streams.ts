// Exec and port-forward as a kubelet's client uses them, over SPDY, which every server speaks.
import type { Readable } from 'node:stream'
import { type CommandConnection, connectExec, connectPortForward } from '@coracle/streaming/client'
import { eventually } from '@coracle/testkit/eventually'
import { type Bench, inTurns } from '../bench.ts'
import { type BenchPod, removePod, startPod } from '../pods.ts'
import type { Metric } from '../recorder.ts'
import { timed } from '../statistics.ts'
import type { Target } from '../target.ts'

const firstByte: Metric = { name: 'exec to first byte', unit: 'ms' }
const execThroughput: Metric = { name: 'exec stdout, MB', unit: 'per s', better: 'higher' }
const forwardThroughput: Metric = { name: 'port-forward, MB', unit: 'per s', better: 'higher' }
const fiftySessions: Metric = { name: '50 execs at once', unit: 'ms' }

const SERVER_PORT = 7000
const LIMIT_MS = 300_000

const floodBytes = (bench: Bench): number => (bench.options.quick ? 128 : 1024) << 20

export async function measureExecStream(bench: Bench): Promise<void> {
  await withPods(bench, async (pods) => {
    const podOf = (target: Target) => pods.get(target.name)?.containerId ?? ''
    await inTurns(bench, { count: bench.options.quick ? 5 : 30, warmUp: 2 }, async (target, counts) => {
      const { ms, value } = await timed(async () => {
        const session = await openExec(target, podOf(target), ['echo', 'x'])
        await firstPiece(session.stdout)
        return session
      })
      // Measured already. containerd may reset the connection at the end.
      await Promise.allSettled([drain(value.stdout), value.ended])
      value.close()
      if (counts) bench.recorder.add(firstByte, target.name, ms)
    })
    const bytes = floodBytes(bench)
    await inTurns(bench, { count: bench.options.quick ? 1 : 3, warmUp: 0 }, async (target) => {
      const session = await openExec(target, podOf(target), ['head', '-c', String(bytes), '/dev/zero'])
      const { ms, value } = await timed(() => drain(session.stdout))
      session.close()
      if (value !== bytes) throw new Error(`${target.name}: exec gave ${value} bytes of ${bytes}`)
      bench.recorder.add(execThroughput, target.name, bytes / 1e6 / (ms / 1000))
    })
  })
}

export async function measurePortForward(bench: Bench): Promise<void> {
  const bytes = floodBytes(bench)
  await withPods(bench, async (pods) => {
    for (const target of bench.targets) await startServer(target, pods.get(target.name), bytes)
    await inTurns(bench, { count: bench.options.quick ? 1 : 3, warmUp: 0 }, async (target) => {
      const podSandboxId = pods.get(target.name)?.podId ?? ''
      const { url } = await target.client.runtime.portForward({ podSandboxId, port: [SERVER_PORT] })
      const session = await connectPortForward(url, { transport: 'spdy', signal: AbortSignal.timeout(LIMIT_MS) })
      const connection = session.open(SERVER_PORT)
      const { ms, value } = await timed(() => drain(connection.readable))
      session.close()
      if (value !== bytes) throw new Error(`${target.name}: port-forward gave ${value} bytes of ${bytes}`)
      bench.recorder.add(forwardThroughput, target.name, bytes / 1e6 / (ms / 1000))
    })
  })
}

export async function measureExecSessions(bench: Bench): Promise<void> {
  await withPods(bench, async (pods) => {
    await inTurns(bench, { count: bench.options.quick ? 1 : 3, warmUp: 0 }, async (target) => {
      const containerId = pods.get(target.name)?.containerId ?? ''
      const { ms } = await timed(() =>
        Promise.all(
          Array.from({ length: 50 }, async () => {
            const session = await openExec(target, containerId, ['echo', 'x'])
            const [bytes, { exitCode }] = await Promise.all([drain(session.stdout), session.ended])
            session.close()
            if (bytes !== 2 || exitCode !== 0) throw new Error(`${target.name}: exec gave ${bytes} bytes, exit code ${exitCode}`)
          }),
        ),
      )
      bench.recorder.add(fiftySessions, target.name, ms)
    })
  })
}

async function withPods(bench: Bench, work: (pods: ReadonlyMap<string, BenchPod>) => Promise<void>): Promise<void> {
  const pods = new Map<string, BenchPod>()
  for (const target of bench.targets) pods.set(target.name, (await startPod(target)).pod)
  await work(pods)
  for (const target of bench.targets) await removePod(target, pods.get(target.name)?.podId ?? '')
}

async function openExec(target: Target, containerId: string, applet: readonly string[]): Promise<CommandConnection> {
  const selection = { tty: false, stdin: false, stdout: true, stderr: true }
  const { url } = await target.client.runtime.exec({ containerId, cmd: ['/bin/busybox', ...applet], ...selection })
  const session = await connectExec(url, { transport: 'spdy', selection, signal: AbortSignal.timeout(LIMIT_MS) })
  session.stderr?.resume()
  return session
}

/** A container in the pod that answers every connection with so many bytes. */
async function startServer(target: Target, pod: BenchPod | undefined, bytes: number): Promise<void> {
  if (!pod) return
  const { runtime } = target.client
  const serve = ['nc', '-ll', '-p', String(SERVER_PORT), '-e', '/bin/busybox', 'head', '-c', String(bytes), '/dev/zero']
  const { containerId } = await runtime.createContainer({
    podSandboxId: pod.podId,
    config: {
      metadata: { name: 'server', attempt: 0 },
      image: { image: target.images.busybox },
      command: ['/bin/busybox', ...serve],
      logPath: 'server.log',
      linux: {},
    },
    sandboxConfig: pod.config,
  })
  await runtime.startContainer({ containerId })
  const port = `:${SERVER_PORT.toString(16).toUpperCase()} `
  await eventually('the server listens', async () => {
    const cmd = ['/bin/busybox', 'cat', '/proc/net/tcp', '/proc/net/tcp6']
    const { stdout } = await runtime.execSync({ containerId, cmd, timeout: 10n })
    return Buffer.from(stdout).includes(port)
  })
}

function firstPiece(source: Readable | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    source?.once('readable', resolve)
    source?.once('close', () => reject(new Error('the stream ended without a byte')))
  })
}

async function drain(source: Readable | undefined): Promise<number> {
  let bytes = 0
  for await (const piece of source ?? []) bytes += (piece as Buffer).length // no encoding is set: buffers
  return bytes
}
