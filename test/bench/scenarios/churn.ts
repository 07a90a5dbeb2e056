// Lists while pods come and go: what a kubelet asks for each second must not wait for what it asks for else.
import { setTimeout as sleep } from 'node:timers/promises'
import { entryOf } from '@coracle/base/histogram'
import type { Bench } from '../bench.ts'
import { readLag } from '../lag.ts'
import { removeAllPods, removePod, startPod } from '../pods.ts'
import { quantile, timed } from '../statistics.ts'
import { onePerDaemon, type Target } from '../target.ts'
import { type Connections, connectAll, fill, populate, service, sizesOf } from './population.ts'

/** A pod is made and removed in each of these. Longer than any of the servers needs. */
const churnMs = 500
/** Each server is measured so often, in turns: what else happens on the machine meets all. */
const turns = 4

/** Needs one target for each server: lists do not depend on the runtime handler. */
export async function measureChurn(whole: Bench): Promise<void> {
  const bench = { ...whole, targets: onePerDaemon(whole.targets) }
  const { pods, containers } = sizesOf(bench)
  using stack = new DisposableStack()
  const connections = connectAll(bench, stack)
  const population = await populate(bench)
  for (const target of bench.targets) await readLag(target)
  await measureLists(bench, connections, pods)
  await fill(bench, population)
  await measureLists(bench, connections, containers)
  for (const target of bench.targets) {
    const lag = await readLag(target)
    if (lag !== undefined) bench.recorder.add({ name: 'event loop lag p99, churn', unit: 'ms' }, target.name, lag)
  }
  for (const target of bench.targets) await removeAllPods(target)
}

async function measureLists(bench: Bench, connections: Connections, count: number): Promise<void> {
  const samples = new Map<string, { readonly method: string; readonly target: Target; readonly ms: number[] }>()
  for (let turn = 0; turn < turns; turn++)
    for (const target of bench.targets) {
      bench.say(`${target.name}: lists of ${count} containers while pods come and go, ${turn + 1} of ${turns}`)
      await whileChurning(target, async () => {
        for (const method of ['ListContainers', 'ListPodSandbox'])
          for (let round = 0; round < sizesOf(bench).lists; round++) {
            bench.signal.throwIfAborted()
            const { ms } = await timed(async () => connections.get(target)?.call(`${service}/${method}`))
            entryOf(samples, `${target.name} ${method}`, () => ({ method, target, ms: [] })).ms.push(ms)
            await sleep(20)
          }
      })
    }
  for (const { method, target, ms } of samples.values()) {
    const metric = { name: `${method}, ${count} containers, churn`, unit: 'ms', goals: { coracle: 1 } } as const
    for (const sample of ms) bench.recorder.add(metric, target.name, sample)
    bench.recorder.add({ ...metric, name: `${metric.name}, p99` }, target.name, quantile(ms, 0.99))
  }
}

async function whileChurning(target: Target, work: () => Promise<void>): Promise<void> {
  let churns = true
  const churn = (async () => {
    while (churns) {
      const begin = performance.now()
      const { pod } = await startPod(target)
      await removePod(target, pod.podId)
      await sleep(Math.max(0, begin + churnMs - performance.now()))
    }
  })()
  try {
    await work()
  } finally {
    churns = false
    await churn
  }
}
