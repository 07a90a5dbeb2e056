import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLayers, importsOf, problemOf, repositoryRoot } from './check-layers.ts'

test('the tree keeps the rules of the doors', () => {
  assert.deepEqual(checkLayers(repositoryRoot), [])
})

test('importsOf() tells types from values', () => {
  const source =
    "import type { A } from 'a'\nimport { type B } from 'b'\nimport { type C, d } from 'c'\nexport * from './e.ts'\nawait import('f')"
  assert.deepEqual(
    importsOf(source).map(({ specifier, typeOnly }) => `${specifier} ${typeOnly}`),
    ['a true', 'b true', 'c false', './e.ts false', 'f false'],
  )
})

test('problemOf() names each kind of fault', () => {
  const value = (specifier: string) => ({ specifier, typeOnly: false })
  assert.match(problemOf('lifecycle', value('@coracle/host')) ?? '', /only types/)
  assert.equal(problemOf('lifecycle', { specifier: '@coracle/host', typeOnly: true }), undefined)
  assert.match(problemOf('cni', value('@coracle/image')) ?? '', /must not import/)
  assert.match(problemOf('cni', value('node:child_process')) ?? '', /only host/)
  assert.match(problemOf('base', value('@coracle/oci-spec/digest')) ?? '', /must not import/)
})
