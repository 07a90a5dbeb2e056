// Runs rings of tests, a process per file, and ends with `N passed, N failed, N skipped`.
//   bin/node test/run.ts unit|root|cri|crash|streaming|isolation|images|observe|reference|all [part of a file name]
// All but `unit` need root and a kernel. `reference` is the cri ring on Debian's containerd: a test must first be true of what
// kubelet already uses.
// CRI_ENDPOINT=unix:///… points the cri ring at a server that runs already; CRI_PRODUCT=containerd makes it start containerd.
import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { pushTestImages } from '@coracle/testkit/busybox-images'
import { reclaim } from '@coracle/testkit/reclaim'
import { startRegistry } from '@coracle/testkit/registry'
import { type Interruption, takeInterruptions } from './interruption.ts'

const rings: Readonly<Record<string, readonly string[]>> = {
  unit: ['packages/*/src/**/*.test.ts', 'tools/*.test.ts'],
  root: ['packages/*/root/**/*.test.ts'],
  cri: ['test/cri/**/*.test.ts'],
  crash: ['test/crash/**/*.test.ts'],
  streaming: ['test/streaming/**/*.test.ts'],
  isolation: ['test/isolation/**/*.test.ts'],
  images: ['test/images/**/*.test.ts'],
  observe: ['test/observe/**/*.test.ts'],
  reference: ['test/cri/**/*.test.ts'],
}
const LIMIT_MS = 45 * 60_000
const FILE_LIMIT_MS = 10 * 60_000
const CONCURRENCY = 2

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

interface RunCounts extends Counts {
  /** What passed and was skipped in each file in which something failed. */
  readonly failedFiles: ReadonlyMap<string, Counts>
}

/** What all runs of files of one call have in common. */
interface Round {
  readonly limit: AbortSignal
  readonly interruption: Interruption
  /** Counts of the runs before. */
  readonly before: Counts
  readonly concurrency?: number
}

async function main(ring: string, part: string): Promise<number> {
  const names = ring === 'all' ? Object.keys(rings) : [ring]
  process.chdir(fileURLToPath(new URL('..', import.meta.url)))
  const files = (name: string) =>
    (rings[name] ?? []).flatMap((pattern) => globSync(pattern)).filter((file) => file.includes(part))
  if (names.some((name) => rings[name] === undefined) || names.every((name) => files(name).length === 0)) {
    console.error(`usage: bin/node test/run.ts ${Object.keys(rings).join('|')}|all [part of a file name]; no test file matches`)
    return 2
  }
  process.env['TEST_ROOT'] = '1'
  const interruption = takeInterruptions()
  // One registry for all files; a file that is run by itself starts its own.
  await using registry = await startRegistry()
  process.env['TEST_REGISTRY'] = registry.host
  process.env['TEST_IMAGES'] = JSON.stringify(await pushTestImages(registry))
  const limit = AbortSignal.timeout(LIMIT_MS)
  const round = { limit, interruption, before: { passed: 0, failed: 0, skipped: 0 } }
  let total = await runTwice(names.filter((name) => name !== 'reference').flatMap(files), round)
  if (names.includes('reference')) {
    process.env['CRI_PRODUCT'] = 'containerd'
    total = sum(total, await runTwice(files('reference'), { ...round, before: total }))
  }
  console.log(say(total))
  return total.failed === 0 && total.passed > 0 ? 0 : 1
}

/**
 * A file in which something fails runs again, alone, and the second run counts: two cores that run containers, servers and a containerd
 * beside each other miss a deadline now and then. What needed the second run is named, for whoever wants to know why.
 */
async function runTwice(files: readonly string[], round: Round): Promise<Counts> {
  const first = await runFiles(files, round)
  const known = new Set(files.map((file) => resolve(file)))
  const again = [...first.failedFiles.keys()]
  if (again.length === 0 || !again.every((file) => known.has(file))) return first
  console.log(`again, alone: ${again.join(' ')}`)
  const kept = { passed: first.passed, failed: 0, skipped: first.skipped }
  for (const { passed, skipped } of first.failedFiles.values()) {
    kept.passed -= passed
    kept.skipped -= skipped
  }
  const second = await runFiles(again, { ...round, before: sum(round.before, kept), concurrency: 1 })
  console.log(`passed only when run again: ${again.filter((file) => !second.failedFiles.has(file)).join(' ') || 'none'}`)
  return sum(kept, second)
}

const sum = (a: Counts, b: Counts): Counts => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
})

const say = ({ passed, failed, skipped }: Counts): string => `${passed} passed, ${failed} failed, ${skipped} skipped`

/** Prints as it goes. A file that crashes or passes its time limit counts as one failure. */
async function runFiles(files: readonly string[], { limit, interruption, before, concurrency }: Round): Promise<RunCounts> {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0, failedFiles: new Map() }
  const stream = run({ files: [...files], concurrency: concurrency ?? CONCURRENCY, timeout: FILE_LIMIT_MS, signal: limit })
  const byFile = new Map<string, { passed: number; failed: number; skipped: number }>()
  const all = () => [...byFile.values()].reduce<Counts>(sum, { passed: 0, failed: 0, skipped: 0 })
  interruption.running = { files, tally: () => say(sum(before, all())) }
  const count = (file: string | undefined, outcome: keyof Counts) => {
    // What fails now does so because it is ended.
    if (interruption.signal.aborted) return
    const counts = byFile.get(file ?? '') ?? { passed: 0, failed: 0, skipped: 0 }
    byFile.set(file ?? '', counts)
    counts[outcome]++
  }
  stream.on('test:pass', ({ details, skip, todo, file }) => {
    if (details.type === 'suite') return
    count(file, skip !== undefined || todo !== undefined ? 'skipped' : 'passed')
  })
  stream.on('test:fail', ({ details, todo, file }) => {
    // A suite fails with its tests; by itself only when a hook of it fails, which shows as a failure of the file.
    if (details.type === 'suite' && ['subtestsFailed', 'cancelledByParent'].includes(failureType(details.error) ?? '')) return
    count(file, todo !== undefined ? 'skipped' : 'failed')
  })
  for await (const chunk of stream.compose(new spec())) if (!interruption.signal.aborted) process.stdout.write(chunk)
  // The interruption ends the process when all is undone.
  if (interruption.signal.aborted) await new Promise(() => {})
  const { words } = await reclaim()
  if (words !== '') console.log(`of files that ended without undoing it: ${words}`)
  if (limit.aborted) {
    console.log(`the hard limit of ${LIMIT_MS / 60_000} minutes was reached`)
    count(undefined, 'failed')
  }
  return {
    ...all(),
    failedFiles: new Map([...byFile].filter(([, { failed }]) => failed > 0)),
  }
}

/** Why node:test says a test failed: an undeclared property of its error. */
const failureType = (err: Error): string | undefined => (err as { failureType?: string }).failureType

process.exitCode = await main(process.argv[2] ?? 'all', process.argv[3] ?? '')
