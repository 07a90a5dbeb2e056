// Runs the rings of tests that need root and a kernel, a process per file, and ends with `N passed, N failed, N skipped`.
//   bin/node test/run.ts root|cri|crash|streaming|all [part of a file name]
// CRI_ENDPOINT=unix:///… points the cri ring at a server that runs already; CRI_PRODUCT=containerd makes it start containerd.
import { globSync } from 'node:fs'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { pushTestImages } from '@coracle/testkit/busybox-images'
import { startRegistry } from '@coracle/testkit/registry'

const rings: Readonly<Record<string, readonly string[]>> = {
  root: ['packages/*/root/**/*.test.ts'],
  cri: ['test/cri/**/*.test.ts'],
  crash: ['test/crash/**/*.test.ts'],
  streaming: ['test/streaming/**/*.test.ts'],
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
  const patterns = ring === 'all' ? Object.values(rings).flat() : rings[ring]
  if (!patterns) {
    console.error('usage: bin/node test/run.ts root|cri|crash|streaming|all [part of a file name]')
    return 2
  }
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd })).filter((file) => file.includes(part))
  if (files.length === 0) {
    console.error(`no test file matches ${patterns.join(' ')} ${part}`)
    return 2
  }
  process.chdir(cwd)
  process.env['TEST_ROOT'] = '1'
  // One registry for all files; a file that is run by itself starts its own.
  await using registry = await startRegistry()
  process.env['TEST_REGISTRY'] = registry.host
  process.env['TEST_IMAGES'] = JSON.stringify(await pushTestImages(registry))
  const { passed, failed, skipped } = await runFiles(files)
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  return failed === 0 ? 0 : 1
}

/** Prints as it goes. A file that crashes or passes its time limit counts as one failure. */
async function runFiles(files: readonly string[]): Promise<Counts> {
  const limit = AbortSignal.timeout(LIMIT_MS)
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
