// What tests that need root make on the machine is written down first, so that a run which is killed leaves nothing for good.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

test('no test that needs root makes a temporary directory that belongs to nobody', () => {
  const files = globSync(['test/**/*.ts', 'packages/*/root/**/*.ts', 'tools/*.ts'], { cwd: root })
  assert.ok(files.length > 100)
  const strays = files.filter((file) =>
    /mkdtemp(Sync|Disposable)?\(\s*join\(tmpdir\(\)/.test(readFileSync(`${root}${file}`, 'utf8')),
  )
  assert.deepEqual(strays, [], 'makeOwnDirectory of @coracle/testkit/belongings instead')
})
