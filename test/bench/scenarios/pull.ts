// Pulls from a registry on loopback, nothing of the image on the machine.
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '@coracle/testkit/program'
import { type Bench, inTurns } from '../bench.ts'
import type { Metric } from '../recorder.ts'
import { timed } from '../statistics.ts'
import { onePerDaemon, type Target } from '../target.ts'

const large: Metric = { name: 'pull of 200 MB in 5 layers', unit: 's', goals: { coracle: 0.6 } }
const small: Metric = { name: 'pull of 30,000 small files', unit: 's', goals: { coracle: 0.7 } }

export async function measurePull(bench: Bench): Promise<void> {
  const narrowed = { ...bench, targets: onePerDaemon(bench.targets) }
  for (const [metric, image] of [
    [large, bench.targets[0]?.images.large],
    [small, bench.targets[0]?.images.small],
  ] as const) {
    if (image === undefined) continue
    await inTurns(
      narrowed,
      { count: bench.options.quick ? 1 : 5, warmUp: bench.options.quick ? 0 : 1 },
      async (target, counts) => {
        const ms = await pullOnce(target, image)
        if (counts) bench.recorder.add(metric, target.name, ms / 1000)
      },
    )
  }
}

async function pullOnce(target: Target, image: string): Promise<number> {
  const { ms } = await timed(() => target.client.image.pullImage({ image: { image } }, { timeoutMs: 600_000 }))
  await target.client.image.removeImage({ image: { image } })
  // Both delete in the background; the next pull shall not pay for it.
  await sleep(3000)
  await run(['sync'], 120_000)
  return ms
}
