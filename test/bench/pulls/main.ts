// npm run bench:pulls: pulls by Coracle, Debian's containerd and podman in turns, from one registry on this machine.
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { explain } from '@coracle/base/errors'
import { run } from '@coracle/testkit/program'
import { type Registry, startRegistry } from '@coracle/testkit/registry'
import { busyShare } from '../processes.ts'
import { cases, createPusher, networkImage, parallelImages } from './images.ts'
import { openLink } from './link.ts'
import type { Cost } from './meter.ts'
import { plot } from './plot.ts'
import { needProgram, type Puller, type PullerName, pullerNames, startPuller } from './pullers.ts'
import { type Row, table } from './report.ts'
import { captionOf, formatResults, type Results, readResults } from './results.ts'

const scenarioNames = ['a', 'b', 'c', 'd', 'half', 'eight', 'network'] as const
type ScenarioName = (typeof scenarioNames)[number]

const usage = `usage: npm run bench:pulls -- [options]
  --scenario NAME   ${scenarioNames.join(', ')}; may be repeated; default all
  --target NAME     ${pullerNames.join(', ')}; may be repeated; default all
  --rounds N        default 5, of c, eight and network at most 3; a first one does not count
  --plot FILE       write an SVG
  --from FILE       measure nothing: table and plot of what --json wrote; may be repeated, later files replace rows of earlier ones
  --json FILE       write every sample
  --scratch DIR     where the disk images (8 GiB each, sparse) go; default ${tmpdir()}
`

const lines = [
  { name: '20 ms', roundTripMs: 20, loss: 0 },
  { name: '100 ms', roundTripMs: 100, loss: 0 },
  { name: '20 ms, 1 % loss', roundTripMs: 20, loss: 0.01 },
  { name: '100 ms, 1 % loss', roundTripMs: 100, loss: 0.01 },
] as const

interface Bench {
  readonly registry: Registry
  readonly pullers: readonly Puller[]
  readonly push: (image: string) => Promise<void>
  readonly rounds: number
  readonly say: (line: string) => void
}

interface Measured {
  readonly name: string
  readonly goal?: number
  readonly rounds: number
  readonly images: readonly string[]
  /** Pulled before, not measured. */
  readonly before?: readonly string[]
}

async function measure(bench: Bench, what: Measured): Promise<Row> {
  bench.say(`measuring ${what.name}`)
  const samples = new Map<string, Cost[]>(bench.pullers.map(({ name }) => [name, []]))
  for (let round = what.rounds > 1 ? -1 : 0; round < what.rounds; round++) {
    for (const puller of bench.pullers) {
      if (what.before !== undefined) await puller.pull(what.before)
      const cost = await puller.pull(what.images)
      if (round >= 0) samples.get(puller.name)?.push(cost)
      await puller.remove([...what.images, ...(what.before ?? [])])
      // Both delete in the background; the next pull shall not pay for it.
      await sleep(3000)
      await run(['sync'], 300_000)
    }
  }
  return { name: what.name, samples, ...(what.goal === undefined ? {} : { goal: what.goal }) }
}

async function scenario(bench: Bench, name: ScenarioName): Promise<Row[]> {
  const at = (image: string) => `${bench.registry.host}/${image}`
  const few = Math.min(3, bench.rounds)
  if (name === 'half') {
    const rows: Row[] = []
    for (const one of [cases.a, cases.d]) {
      for (const image of [one.half ?? '', one.image]) await bench.push(image)
      const images = [at(one.image)]
      rows.push(await measure(bench, { name: `${one.name}, 2 there`, rounds: few, images, before: [at(one.half ?? '')] }))
    }
    return rows
  }
  if (name === 'eight') {
    for (const image of parallelImages) await bench.push(image)
    return [await measure(bench, { name: '8 images of 25 MB at once', rounds: few, images: parallelImages.map(at) })]
  }
  if (name === 'network') return await network(bench)
  const { image, ...one } = cases[name]
  await bench.push(image)
  return [await measure(bench, { ...one, rounds: name === 'c' ? few : bench.rounds, images: [at(image)] })]
}

async function network(bench: Bench): Promise<Row[]> {
  await bench.push(networkImage)
  const rows: Row[] = []
  for (const line of lines) {
    await using link = await openLink({ upstream: bench.registry.host, ...line })
    const rounds = line.loss > 0 ? 1 : Math.min(3, bench.rounds)
    rows.push(await measure(bench, { name: `2 × 16 MB, ${line.name}`, rounds, images: [`${link.host}/${networkImage}`] }))
  }
  return rows
}

async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      scenario: { type: 'string', multiple: true },
      target: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      plot: { type: 'string' },
      json: { type: 'string' },
      from: { type: 'string', multiple: true },
      scratch: { type: 'string', default: tmpdir() },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(usage)
  const show = async (results: Results): Promise<void> => {
    const named = pullerNames.filter((name) => results.rows.some(({ samples }) => samples.has(name)))
    process.stdout.write(`\n${table(results.rows, named)}\n`)
    if (values.plot !== undefined) await writeFile(values.plot, plot(results.rows, named, captionOf(results)))
    if (values.json !== undefined) await writeFile(values.json, formatResults(results))
  }
  if (values.from !== undefined) return await show(readResults(values.from))
  const scenarios = pick('--scenario', scenarioNames, values.scenario)
  const targets = pick('--target', pullerNames, values.target)
  for (const name of targets) await needProgram(name)
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}: expected a whole number from 1 on`)
  const say = (line: string) => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`)
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(await startRegistry())
  const pullers = await startAll(targets, values.scratch, stack)
  const others = await busyShare(2000)
  say(`other work takes ${(others * 100).toFixed(0)} % of this machine`)
  const bench: Bench = { registry, pullers, push: createPusher(registry.host), rounds, say }
  const rows: Row[] = []
  for (const name of scenarios) rows.push(...(await scenario(bench, name)))
  await show({ time: new Date().toISOString(), others, rows })
}

async function startAll(targets: readonly PullerName[], scratch: string, stack: AsyncDisposableStack): Promise<Puller[]> {
  const pullers: Puller[] = []
  for (const name of targets) pullers.push(stack.use(await startPuller(name, scratch)))
  return pullers
}

function pick<T extends string>(flag: string, all: readonly T[], wanted: readonly string[] | undefined): readonly T[] {
  for (const name of wanted ?? []) {
    if (!all.some((known) => known === name)) throw new Error(`${flag} ${name}: expected ${all.join(', ')}`)
  }
  return wanted === undefined ? all : all.filter((name) => wanted.includes(name))
}

try {
  await main(process.argv.slice(2))
} catch (err) {
  console.error(explain(err))
  process.exitCode = 1
}
