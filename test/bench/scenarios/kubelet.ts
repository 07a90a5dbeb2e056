// What a kubelet does all day: stats, polling; and how soon it hears of an exit.
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@coracle/base/errors'
import { ContainerEventType } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { type Bench, inTurns } from '../bench.ts'
import { readLag } from '../lag.ts'
import { removeAllPods, removePod, startPod } from '../pods.ts'
import { attribute, cpuSeconds, rssMb } from '../processes.ts'
import type { Metric } from '../recorder.ts'
import { timed } from '../statistics.ts'
import { onePerDaemon, type Target } from '../target.ts'
import { type Connections, connectAll, fill, type Population, populate, type Sizes, service, sizesOf } from './population.ts'

interface Stage {
  readonly bench: Bench
  readonly sizes: Sizes
  readonly connections: Connections
}

/** Needs one target for each server: lists and stats do not depend on the runtime handler. */
export async function measureKubelet(whole: Bench): Promise<void> {
  const bench = { ...whole, targets: onePerDaemon(whole.targets) }
  const sizes = sizesOf(bench)
  using stack = new DisposableStack()
  const stage: Stage = { bench, sizes, connections: connectAll(bench, stack) }
  const pods = await populate(bench)
  for (const target of bench.targets) await readLag(target)
  await measureStats(stage, sizes.pods)
  await measureExits(stage)
  await measurePolling(stage, pods)
  await fill(bench, pods)
  await measureStats(stage, sizes.containers)
  for (const target of bench.targets) {
    const lag = await readLag(target)
    if (lag !== undefined) bench.recorder.add({ name: 'event loop lag p99, all of this', unit: 'ms' }, target.name, lag)
  }
  for (const target of bench.targets) await removeAllPods(target)
}

async function measureStats({ bench, sizes, connections }: Stage, count: number): Promise<void> {
  bench.say(`stats of ${count} containers`)
  const calls = [
    ['ListContainerStats', count === sizes.pods ? 0.1 : undefined],
    ['ListPodSandboxStats', undefined],
  ] as const
  await inTurns(bench, { count: sizes.stats, warmUp: 2 }, async (target, counts) => {
    for (const [method, goal] of calls) {
      const { ms } = await timed(async () => connections.get(target)?.call(`${service}/${method}`))
      const metric: Metric = {
        name: `${method}, ${count} containers`,
        unit: 'ms',
        ...(goal === undefined ? {} : { goals: { coracle: goal } }),
      }
      if (counts) bench.recorder.add(metric, target.name, ms)
    }
    await sleep(100)
  })
}

/** From SIGKILL to the container's process until the event is here. A server without events is left out. */
async function measureExits({ bench, sizes }: Stage): Promise<void> {
  for (const target of bench.targets) {
    const { runtime } = target.client
    const leave = new AbortController()
    const stopped = new Map<string, (ms: number) => void>()
    const listening = (async () => {
      for await (const event of runtime.getContainerEvents({}, { signal: leave.signal })) {
        if (event.containerEventType === ContainerEventType.CONTAINER_STOPPED_EVENT) {
          stopped.get(event.containerId)?.(performance.now())
        }
      }
    })().catch((err: unknown) => codeOf(err))
    if ((await Promise.race([listening, sleep(500)])) === 'unimplemented') {
      bench.say(`${target.name} has no events`)
      continue
    }
    for (let round = 0; round < sizes.exits; round++) {
      bench.signal.throwIfAborted()
      const { pod } = await startPod(target)
      const { promise, resolve } = Promise.withResolvers<number>()
      stopped.set(pod.containerId, resolve)
      const pid = await pidOf(target, pod.containerId)
      const killedMs = performance.now()
      process.kill(pid, 'SIGKILL')
      const ms = (await promise) - killedMs
      bench.recorder.add({ name: 'exit to event', unit: 'ms' }, target.name, ms)
      await removePod(target, pod.podId)
    }
    leave.abort()
    await listening
  }
}

async function pidOf(target: Target, containerId: string): Promise<number> {
  return eventually('the pid of the container', async () => {
    const { info } = await target.client.runtime.containerStatus({ containerId, verbose: true })
    const { pid } = JSON.parse(info['info'] ?? '{}') as { pid?: number }
    return pid !== undefined && pid > 0 ? pid : undefined
  })
}

/** Lists each second, Status each five, stats each ten: what the server and its helpers use for that, one server after the other. */
async function measurePolling({ bench, sizes, connections }: Stage, pods: Population): Promise<void> {
  const { pollingSeconds } = sizes
  for (const target of bench.targets) {
    bench.say(`${target.name}: ${pollingSeconds} s of polling`)
    const ids = (pods.get(target) ?? []).flatMap(({ podId, containerId }) => [podId, containerId])
    const pids = () => attribute(target.daemonPid, ids).daemon
    const before = cpuSeconds(pids())
    const call = async (method: string) => void (await connections.get(target)?.call(`${service}/${method}`))
    const begin = performance.now()
    for (let second = 0; second < pollingSeconds; second++) {
      bench.signal.throwIfAborted()
      await call('ListPodSandbox')
      await call('ListContainers')
      if (second % 5 === 0) await call('Status')
      if (second % 10 === 0) await Promise.all([call('ListContainerStats'), call('ListPodSandboxStats')])
      await sleep(Math.max(0, begin + (second + 1) * 1000 - performance.now()))
    }
    const used = cpuSeconds(pids()) - before
    const name = `CPU of the server, ${pollingSeconds} s of polling ${sizes.pods} pods`
    bench.recorder.add({ name, unit: 's', goals: { coracle: 1 } }, target.name, used)
    const rss: Metric = { name: `daemon RSS after polling ${sizes.pods} pods`, unit: 'MB', goals: { coracle: 1 } }
    bench.recorder.add(rss, target.name, rssMb(pids()))
  }
}
