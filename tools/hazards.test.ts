// Each way in which an archive, an image or a layer can be hostile has an id in the project's catalogue; a test is named by it. This
// holds the names: an id whose test goes away is missed.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const range = (letter: string, first: number, last: number): readonly string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => `${letter}-${String(first + i).padStart(2, '0')}`)

const ids: readonly string[] = [
  // Names and paths, links and order, types and numbers of tar entries; whiteouts; compression; manifests and configs.
  ...range('T', 1, 24),
  ...range('T', 30, 52),
  ...range('W', 1, 12),
  ...range('C', 1, 11),
  ...range('M', 1, 23),
  // Faults that other extractors had.
  ...['CVE-2021-32760', 'CVE-2025-47290', 'CVE-2026-17106', 'CVE-2021-20291', 'CVE-2025-58183', 'CVE-2014-6407', 'CVE-2014-9358'],
  ...['CVE-2026-23745', 'CVE-2026-59874', 'CVE-2026-59875', 'CVE-2021-32804', 'CVE-2018-20835', 'CVE-2025-48387'],
  ...['CVE-2024-23651', 'CVE-2024-23652', 'CVE-2024-23653', 'EROFS'],
]

test('every hazard of hostile images has a test by its id', () => {
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const files = globSync(['packages/*/{src,root}/**/*.test.ts', 'packages/image/root/hostile-archives.ts', 'test/**/*.test.ts'], {
    cwd,
  })
  // Names of tests stand in single, double or backward quotes, the id at their beginning or after another.
  const text = files.map((file) => readFileSync(`${cwd}/${file}`, 'utf8')).join('\n')
  const named = new Set(
    [...text.matchAll(/['"`][^'"`\n]*['"`]/g)].flatMap(
      ([quoted]) => quoted.match(/\b([TWCM]-\d\d|CVE-\d{4}-\d+|EROFS)\b/g) ?? [],
    ),
  )
  assert.deepEqual(
    ids.filter((id) => !named.has(id)),
    [],
  )
})
