// ExecSync of a program that ends at once.
import { type Bench, inTurns } from '../bench.ts'
import { type BenchPod, removePod, startPod } from '../pods.ts'
import type { Metric } from '../recorder.ts'
import { timed } from '../statistics.ts'

const metric: Metric = { name: 'ExecSync', unit: 'ms', goals: { 'coracle-runc': 0.4, coracle: 0.4 } }

export async function measureExec(bench: Bench): Promise<void> {
  const pods = new Map<string, BenchPod>()
  for (const target of bench.targets) pods.set(target.name, (await startPod(target)).pod)
  await inTurns(bench, { count: bench.options.quick ? 10 : 100, warmUp: 3 }, async (target, counts) => {
    const containerId = pods.get(target.name)?.containerId ?? ''
    const { ms, value } = await timed(() =>
      target.client.runtime.execSync({ containerId, cmd: ['/bin/busybox', 'true'], timeout: 10n }),
    )
    if (value.exitCode !== 0) throw new Error(`${target.name}: true exited with ${value.exitCode}: ${Buffer.from(value.stderr)}`)
    if (counts) bench.recorder.add(metric, target.name, ms)
  })
  for (const target of bench.targets) await removePod(target, pods.get(target.name)?.podId ?? '')
}
