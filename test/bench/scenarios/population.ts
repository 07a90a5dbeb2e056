// The pods and containers that a kubelet would have, on each server.
import type { Bench } from '../bench.ts'
import { type BenchPod, createContainer, inParallel, startPod } from '../pods.ts'
import { openRaw, type RawConnection } from '../raw-call.ts'
import type { Target } from '../target.ts'

export const service = '/runtime.v1.RuntimeService'

export interface Sizes {
  readonly pods: number
  readonly containers: number
  readonly lists: number
  readonly stats: number
  readonly pollingSeconds: number
  readonly exits: number
}

const full: Sizes = { pods: 100, containers: 500, lists: 100, stats: 20, pollingSeconds: 60, exits: 30 }
const quick: Sizes = { pods: 20, containers: 60, lists: 20, stats: 8, pollingSeconds: 10, exits: 8 }

export const sizesOf = ({ options }: Bench): Sizes => (options.quick ? quick : full)

export type Population = ReadonlyMap<Target, readonly BenchPod[]>

/** A pod with one container each. */
export async function populate(bench: Bench): Promise<Population> {
  const all = new Map<Target, BenchPod[]>()
  const { pods: count } = sizesOf(bench)
  for (const target of bench.targets) {
    bench.say(`${target.name}: starting ${count} pods`)
    const pods: BenchPod[] = []
    await inParallel(Array.from({ length: count }), 4, async () => {
      bench.signal.throwIfAborted()
      pods.push((await startPod(target)).pod)
    })
    all.set(target, pods)
  }
  return all
}

/** Containers that run, until there are enough: those that do not are in no list of stats. */
export async function fill(bench: Bench, population: Population): Promise<void> {
  const { pods, containers } = sizesOf(bench)
  for (const target of bench.targets) {
    bench.say(`${target.name}: starting ${containers - pods} more containers`)
    await inParallel(population.get(target) ?? [], 4, async ({ podId, config }) => {
      for (let index = 1; index < containers / pods; index++) {
        bench.signal.throwIfAborted()
        const containerId = await createContainer(target, { podId, config, index })
        await target.client.runtime.startContainer({ containerId })
      }
    })
  }
}

export type Connections = ReadonlyMap<Target, RawConnection>

/** To each server; closed with the stack. */
export const connectAll = (bench: Bench, stack: DisposableStack): Connections =>
  new Map(bench.targets.map((target) => [target, stack.use(openRaw(target.socket))]))
