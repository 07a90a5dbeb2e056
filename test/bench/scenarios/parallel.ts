// Pods started eight at a time.
import { type Bench, inTurns } from '../bench.ts'
import { inParallel, removePod, startPod } from '../pods.ts'
import type { Metric } from '../recorder.ts'
import { timed } from '../statistics.ts'

const metric: Metric = { name: 'pods started 8 at a time', unit: 'per s', better: 'higher' }

export async function measureParallel(bench: Bench): Promise<void> {
  const count = bench.options.quick ? 16 : 40
  await inTurns(bench, { count: bench.options.quick ? 1 : 3, warmUp: 0 }, async (target) => {
    const ids: string[] = []
    const { ms } = await timed(() =>
      inParallel(Array.from({ length: count }), 8, async () => {
        bench.signal.throwIfAborted()
        ids.push((await startPod(target)).pod.podId)
      }),
    )
    bench.recorder.add(metric, target.name, count / (ms / 1000))
    await inParallel(ids, 4, async (id) => void (await removePod(target, id)))
  })
}
