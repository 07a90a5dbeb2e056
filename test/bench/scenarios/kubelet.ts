// What a kubelet does all day: lists while pods come and go, stats, polling; and how soon it hears of an exit.
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from '@coracle/base/errors'
import { ContainerEventType } from '@coracle/cri-api'
import { eventually } from '@coracle/testkit/eventually'
import { type Bench, inTurns } from '../bench.ts'
import { readLag } from '../lag.ts'
import { type BenchPod, createContainer, inParallel, removeAllPods, removePod, startPod } from '../pods.ts'
import { attribute, cpuSeconds, rssMb } from '../processes.ts'
import { openRaw, type RawConnection } from '../raw-call.ts'
import type { Metric } from '../recorder.ts'
import { quantile, timed } from '../statistics.ts'
import { onePerDaemon, type Target } from '../target.ts'

const service = '/runtime.v1.RuntimeService'

interface Sizes {
  readonly pods: number
  readonly containers: number
  readonly lists: number
  readonly stats: number
  readonly pollingSeconds: number
  readonly exits: number
}

const full: Sizes = { pods: 100, containers: 500, lists: 300, stats: 20, pollingSeconds: 60, exits: 30 }
const quick: Sizes = { pods: 20, containers: 60, lists: 60, stats: 8, pollingSeconds: 10, exits: 8 }

/** A pod is made and removed in each of these. Longer than any of the servers needs. */
const churnMs = 500

interface Stage {
  readonly bench: Bench
  readonly sizes: Sizes
  readonly connections: ReadonlyMap<Target, RawConnection>
}

/** Needs one target for each server: lists and stats do not depend on the runtime handler. */
export async function measureKubelet(whole: Bench): Promise<void> {
  const bench = { ...whole, targets: onePerDaemon(whole.targets) }
  const sizes = bench.options.quick ? quick : full
  using connections = new DisposableStack()
  const open = new Map(bench.targets.map((target) => [target, connections.use(openRaw(target.socket))]))
  const stage: Stage = { bench, sizes, connections: open }
  const pods = new Map<Target, BenchPod[]>()
  for (const target of bench.targets) pods.set(target, await populate(bench, target, sizes.pods))
  for (const target of bench.targets) await readLag(target)
  await measureStats(stage, sizes.pods)
  await measureLists(stage, sizes.pods)
  await measureExits(stage)
  await measurePolling(stage, pods)
  await fill(stage, pods)
  await measureStats(stage, sizes.containers)
  await measureLists(stage, sizes.containers)
  for (const target of bench.targets) {
    const lag = await readLag(target)
    if (lag !== undefined) bench.recorder.add({ name: 'event loop lag p99, all of this', unit: 'ms' }, target.name, lag)
  }
  for (const target of bench.targets) await removeAllPods(target)
}

async function populate(bench: Bench, target: Target, count: number): Promise<BenchPod[]> {
  bench.say(`${target.name}: starting ${count} pods`)
  const pods: BenchPod[] = []
  await inParallel(Array.from({ length: count }), 4, async () => {
    bench.signal.throwIfAborted()
    pods.push((await startPod(target)).pod)
  })
  return pods
}

/** Containers that run, until there are enough: those that do not are in no list of stats. */
async function fill({ bench, sizes }: Stage, pods: ReadonlyMap<Target, readonly BenchPod[]>): Promise<void> {
  for (const target of bench.targets) {
    bench.say(`${target.name}: starting ${sizes.containers - sizes.pods} more containers`)
    await inParallel(pods.get(target) ?? [], 4, async ({ podId, config }) => {
      for (let index = 1; index < sizes.containers / sizes.pods; index++) {
        bench.signal.throwIfAborted()
        const containerId = await createContainer(target, { podId, config, index })
        await target.client.runtime.startContainer({ containerId })
      }
    })
  }
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

/** Each server in turn, with pods being made and removed on it: the same number in a second on each. */
async function measureLists({ bench, sizes, connections }: Stage, count: number): Promise<void> {
  for (const target of bench.targets) {
    bench.say(`${target.name}: lists of ${count} containers while pods come and go`)
    let churns = true
    const churn = (async () => {
      while (churns) {
        const begin = performance.now()
        const { pod } = await startPod(target)
        await removePod(target, pod.podId)
        await sleep(Math.max(0, begin + churnMs - performance.now()))
      }
    })()
    for (const method of ['ListContainers', 'ListPodSandbox']) {
      const name = `${method}, ${count} containers, churn`
      const samples: number[] = []
      for (let round = 0; round < sizes.lists; round++) {
        bench.signal.throwIfAborted()
        const { ms } = await timed(async () => connections.get(target)?.call(`${service}/${method}`))
        samples.push(ms)
        bench.recorder.add({ name, unit: 'ms', goals: { coracle: 1 } }, target.name, ms)
        await sleep(20)
      }
      bench.recorder.add({ name: `${name}, p99`, unit: 'ms', goals: { coracle: 1 } }, target.name, quantile(samples, 0.99))
    }
    churns = false
    await churn
  }
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
async function measurePolling(
  { bench, sizes, connections }: Stage,
  pods: ReadonlyMap<Target, readonly BenchPod[]>,
): Promise<void> {
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
