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
import { startRegistry } from '@coracle/testkit/registry'

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
  // One registry for all files; a file that is run by itself starts its own.
  await using registry = await startRegistry()
  process.env['TEST_REGISTRY'] = registry.host
  process.env['TEST_IMAGES'] = JSON.stringify(await pushTestImages(registry))
  const limit = AbortSignal.timeout(LIMIT_MS)
  const total = { passed: 0, failed: 0, skipped: 0 }
  const add = ({ passed, failed, skipped }: Counts) => {
    total.passed += passed
    total.failed += failed
    total.skipped += skipped
  }
  add(await runTwice(names.filter((name) => name !== 'reference').flatMap(files), limit))
  if (names.includes('reference')) {
    process.env['CRI_PRODUCT'] = 'containerd'
    add(await runTwice(files('reference'), limit))
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
  return total.failed === 0 && total.passed > 0 ? 0 : 1
}

/**
 * A file in which something fails runs again, alone, and the second run counts: two cores that run containers, servers and a containerd
 * beside each other miss a deadline now and then. What needed the second run is named, for whoever wants to know why.
 */
async function runTwice(files: readonly string[], limit: AbortSignal): Promise<Counts> {
  const first = await runFiles(files, limit)
  const known = new Set(files.map((file) => resolve(file)))
  const again = [...first.failedFiles.keys()]
  if (again.length === 0 || !again.every((file) => known.has(file))) return first
  console.log(`again, alone: ${again.join(' ')}`)
  const second = await runFiles(again, limit, 1)
  const total = { passed: first.passed + second.passed, failed: second.failed, skipped: first.skipped + second.skipped }
  for (const { passed, skipped } of first.failedFiles.values()) {
    total.passed -= passed
    total.skipped -= skipped
  }
  console.log(`passed only when run again: ${again.filter((file) => !second.failedFiles.has(file)).join(' ') || 'none'}`)
  return total
}

/** Prints as it goes. A file that crashes or passes its time limit counts as one failure. */
async function runFiles(files: readonly string[], limit: AbortSignal, concurrency = CONCURRENCY): Promise<RunCounts> {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0, failedFiles: new Map() }
  const stream = run({ files: [...files], concurrency, timeout: FILE_LIMIT_MS, signal: limit })
  const byFile = new Map<string, { passed: number; failed: number; skipped: number }>()
  const count = (file: string | undefined, outcome: keyof Counts) => {
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
  for await (const chunk of stream.compose(new spec())) process.stdout.write(chunk)
  if (limit.aborted) {
    console.log(`the hard limit of ${LIMIT_MS / 60_000} minutes was reached`)
    count(undefined, 'failed')
  }
  const sum = (outcome: keyof Counts) => [...byFile.values()].reduce((total, counts) => total + counts[outcome], 0)
  return {
    ...{ passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') },
    failedFiles: new Map([...byFile].filter(([, { failed }]) => failed > 0)),
  }
}

/** Why node:test says a test failed: an undeclared property of its error. */
const failureType = (err: Error): string | undefined => (err as { failureType?: string }).failureType

process.exitCode = await main(process.argv[2] ?? 'all', process.argv[3] ?? '')
