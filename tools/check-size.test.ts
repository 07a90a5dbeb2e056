import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { repositoryRoot } from './check-layers.ts'
import { trackedFiles } from './tracked-files.ts'

const maxLines = 400

test(`no source file is longer than ${maxLines} lines`, () => {
  const long = trackedFiles(repositoryRoot)
    .filter((name) => name.endsWith('.ts') && !name.includes('/gen/'))
    .map((name) => ({ name, lines: readFileSync(`${repositoryRoot}/${name}`, 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines > maxLines)
  assert.deepEqual(long, [])
})

test('no lock file records an address', () => {
  for (const name of trackedFiles(repositoryRoot).filter((file) => file.endsWith('package-lock.json'))) {
    assert.doesNotMatch(readFileSync(`${repositoryRoot}/${name}`, 'utf8'), /"resolved":\s*"http/)
  }
})
