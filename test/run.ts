// Runs rings of tests, a process per file, and ends with `N passed, N failed, N skipped`.
//   bin/node test/run.ts unit|root|cri|crash|streaming|reference|all [part of a file name]
// All but `unit` need root and a kernel. `reference` is the cri ring on Debian's containerd: a test must first be true of what
// kubelet already uses.
// CRI_ENDPOINT=unix:///… points the cri ring at a server that runs already; CRI_PRODUCT=containerd makes it start containerd.
import { globSync } from 'node:fs'
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
  const add = async (list: readonly string[]) => {
    if (list.length === 0) return
    const { passed, failed, skipped } = await runFiles(list, limit)
    total.passed += passed
    total.failed += failed
    total.skipped += skipped
  }
  await add(names.filter((name) => name !== 'reference').flatMap(files))
  if (names.includes('reference')) {
    process.env['CRI_PRODUCT'] = 'containerd'
    await add(files('reference'))
  }
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
  return total.failed === 0 && total.passed > 0 ? 0 : 1
}

/** Prints as it goes. A file that crashes or passes its time limit counts as one failure. */
async function runFiles(files: readonly string[], limit: AbortSignal): Promise<Counts> {
  const stream = run({ files: [...files], concurrency: CONCURRENCY, timeout: FILE_LIMIT_MS, signal: limit })
  const counts = { passed: 0, failed: 0, skipped: 0 }
  stream.on('test:pass', ({ details, skip, todo }) => {
    if (details.type === 'suite') return
    if (skip !== undefined || todo !== undefined) counts.skipped++
    else counts.passed++
  })
  stream.on('test:fail', ({ details, todo }) => {
    // A suite fails with its tests; by itself only when a hook of it fails, which shows as a failure of the file.
    if (details.type === 'suite' && ['subtestsFailed', 'cancelledByParent'].includes(failureType(details.error) ?? '')) return
    if (todo !== undefined) counts.skipped++
    else counts.failed++
  })
  for await (const chunk of stream.compose(new spec())) process.stdout.write(chunk)
  if (limit.aborted) {
    console.log(`the hard limit of ${LIMIT_MS / 60_000} minutes was reached`)
    counts.failed++
  }
  return counts
}

/** Why node:test says a test failed: an undeclared property of its error. */
const failureType = (err: Error): string | undefined => (err as { failureType?: string }).failureType

process.exitCode = await main(process.argv[2] ?? 'all', process.argv[3] ?? '')
