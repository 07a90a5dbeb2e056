// Medians of each step with crun and runc, through this package and by the bare command lines below it.
// Run as root: bin/node packages/oci-runtime/root/measure.ts
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Bed, never, processOf, runtimes } from './bed.ts'

const rounds = 21

class Times {
  readonly #ms = new Map<string, number[]>()

  async of<T>(step: string, work: () => Promise<T> | T): Promise<T> {
    const startedAt = performance.now()
    const result = await work()
    const list = this.#ms.get(step) ?? []
    list.push(performance.now() - startedAt)
    this.#ms.set(step, list)
    return result
  }

  print(title: string): void {
    for (const [step, ms] of this.#ms) {
      ms.sort((a, b) => a - b)
      const at = (share: number) => (ms[Math.floor(share * (ms.length - 1))] ?? 0).toFixed(1).padStart(6)
      console.log(`${title.padEnd(12)} ${step.padEnd(16)} min ${at(0)}  median ${at(0.5)}  p95 ${at(0.95)} ms`)
    }
  }
}

for (const { name, program } of runtimes) {
  await using bed = new Bed(program)
  const ours = new Times()
  const raw = new Times()
  for (let round = 0; round < rounds; round++) {
    await measureOurs(bed, ours)
    await measureRaw(bed, program, raw)
  }
  ours.print(name)
  raw.print(`${name} bare`)
}

async function measureOurs(bed: Bed, times: Times): Promise<void> {
  const made = await times.of('create', () => bed.create({ args: ['sleep', '1000'] }))
  await times.of('start', () => bed.runtime.start(made.paths, never))
  await times.of('exec', async () => {
    const session = await bed.runtime.exec(made.paths, { process: processOf(['true']), stdin: false }, never)
    session.stderr?.resume()
    await session.stdout.toArray()
    await session.exited
  })
  await times.of('kill to exit', async () => {
    await bed.runtime.kill(made.paths, 9, false)
    await made.exit
  })
  await times.of('delete', () => bed.runtime.delete(made.paths))
  const apart = await times.of('create, monitor’s cgroup', () =>
    bed.create({ args: ['sleep', '1000'], request: { monitorCgroup: `${bed.cgroupParent}/monitors` } }),
  )
  await bed.runtime.delete(apart.paths)
}

// Without a monitor: the least that the runtime's own processes take.
async function measureRaw(bed: Bed, program: string, times: Times): Promise<void> {
  const paths = bed.paths()
  mkdirSync(paths.bundle, { recursive: true })
  writeFileSync(join(paths.bundle, 'config.json'), JSON.stringify(bed.spec(paths.id, { args: ['sleep', '1000'] })))
  const root = `--root=${join(bed.directory, 'r')}`
  const run = async (...args: string[]) => {
    const stdio = ['ignore', 'ignore', 'ignore'] as const
    await using child = await bed.host.processes.start({ argv: [program, root, ...args], stdio })
    await child.exited
  }
  await times.of('create', () => run('create', '--bundle', paths.bundle, paths.id))
  await times.of('start', () => run('start', paths.id))
  await times.of('exec', () => run('exec', paths.id, 'true'))
  await times.of('delete --force', () => run('delete', '--force', paths.id))
}
