// Many pods at once: memory of the server and of what each pod adds, CPU while nothing happens, lists.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bench, inTurns } from '../bench.ts'
import { type BenchPod, createContainer, inParallel, removeAllPods, startPod } from '../pods.ts'
import { type Attribution, attribute, cpuSeconds, pssMb, rssMb } from '../processes.ts'
import { openRaw, type RawConnection } from '../raw-call.ts'
import type { Metric } from '../recorder.ts'
import { timed } from '../statistics.ts'
import { onePerDaemon, type Target } from '../target.ts'

const podCount = 100
const containerCount = 500

const idleRss: Metric = { name: 'daemon RSS idle', unit: 'MB' }
const fullRss: Metric = { name: `daemon RSS at ${podCount} pods, after listing`, unit: 'MB', goals: { coracle: 1 } }
const podPss: Metric = { name: 'PSS added by a pod', unit: 'MB', goals: { coracle: 0.15 } }
const cpu: Metric = { name: `idle CPU with ${podCount} pods (of one core)`, unit: '%' }
const list = (what: string, count: number, goal?: number): Metric => ({
  name: `List${what} of ${count}`,
  unit: 'ms',
  ...(goal === undefined ? {} : { goals: { coracle: goal } }),
})

/** Before anything else is measured: what a server needs that has only started. */
export async function measureIdle(bench: Bench): Promise<void> {
  await sleep(bench.options.quick ? 5000 : 10_000)
  for (const target of onePerDaemon(bench.targets)) {
    bench.recorder.add(idleRss, target.name, rssMb(attribute(target.daemonPid, []).daemon))
  }
}

/** Memory does not depend on the runtime handler: one target for each server. */
export async function measureDensity(bench: Bench): Promise<void> {
  const targets = onePerDaemon(bench.targets)
  const pods = new Map<Target, BenchPod[]>()
  for (const target of targets) pods.set(target, await populate(bench, target))
  const connections = new Map(targets.map((target) => [target, openRaw(target.socket)]))
  using _connections = {
    [Symbol.dispose]: () => {
      for (const connection of connections.values()) connection[Symbol.dispose]()
    },
  }
  const narrowed = { ...bench, targets }
  await measureLists(narrowed, connections, podCount)
  await measureProcesses(narrowed, pods)
  await addContainers(narrowed, pods)
  await measureLists(narrowed, connections, containerCount)
  for (const target of targets) await removeAllPods(target)
}

async function populate(bench: Bench, target: Target): Promise<BenchPod[]> {
  bench.say(`${target.name}: starting ${podCount} pods`)
  const pods: BenchPod[] = []
  await inParallel(Array.from({ length: podCount }), 4, async () => {
    bench.signal.throwIfAborted()
    pods.push((await startPod(target)).pod)
  })
  return pods
}

async function measureLists(bench: Bench, connections: Map<Target, RawConnection>, count: number): Promise<void> {
  const calls = [['Containers', '/runtime.v1.RuntimeService/ListContainers', count === podCount ? 1.5 : undefined] as const]
  const all = count === podCount ? [...calls, ['PodSandbox', '/runtime.v1.RuntimeService/ListPodSandbox', 1.5] as const] : calls
  await inTurns(bench, { count: bench.options.quick ? 20 : 200, warmUp: 10 }, async (target, counts) => {
    for (const [what, path, goal] of all) {
      const { ms } = await timed(async () => connections.get(target)?.call(path))
      if (counts) bench.recorder.add(list(what, count, goal), target.name, ms)
    }
  })
}

async function measureProcesses(bench: Bench, pods: Map<Target, BenchPod[]>): Promise<void> {
  const seen = new Map<Target, Attribution>()
  for (const target of bench.targets) {
    const ids = (pods.get(target) ?? []).flatMap(({ podId, containerId }) => [podId, containerId])
    const found = attribute(target.daemonPid, ids)
    seen.set(target, found)
    bench.say(`${target.name}: ${podCount} pods add ${describe(found)}`)
    bench.recorder.add(fullRss, target.name, rssMb(found.daemon))
    bench.recorder.add(podPss, target.name, pssMb(found.overhead) / podCount)
  }
  const seconds = bench.options.quick ? 5 : 30
  const before = new Map(bench.targets.map((target) => [target, usedCpu(seen.get(target))]))
  await sleep(seconds * 1000)
  for (const target of bench.targets) {
    const used = usedCpu(seen.get(target)) - (before.get(target) ?? 0)
    bench.recorder.add(cpu, target.name, (used / seconds) * 100)
  }
}

const usedCpu = (found: Attribution | undefined): number => cpuSeconds([...(found?.daemon ?? []), ...(found?.overhead ?? [])])

const describe = ({ names }: Attribution): string =>
  Object.entries(names)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ') || 'no process'

/** Containers that are created and never started: they are listed like any other. */
async function addContainers(bench: Bench, pods: Map<Target, BenchPod[]>): Promise<void> {
  for (const target of bench.targets) {
    bench.say(`${target.name}: creating ${containerCount - podCount} more containers`)
    await inParallel(pods.get(target) ?? [], 4, async ({ podId, config }) => {
      for (let index = 1; index < containerCount / podCount; index++) {
        bench.signal.throwIfAborted()
        await createContainer(target, { podId, config, index })
      }
    })
  }
}
