// SPECIFICATION.md names what holds each promise: a name that leads nowhere is a promise that nobody keeps.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

test('every promise names a test or document that is there, or a benchmark that is known', () => {
  const text = read('SPECIFICATION.md')
  const places = [...text.matchAll(/\]\(([^)#]+)\)/g)].map(([, place]) => place ?? '')
  assert.ok(places.length > 10, text)
  assert.deepEqual(
    places.filter((place) => !existsSync(fileURLToPath(new URL(`../${place}`, import.meta.url)))),
    [],
  )
  const scenarios = [...text.matchAll(/--scenario ([a-z0-9-]+)/g)].map(([, name]) => name ?? '')
  const known = read('test/bench/options.ts')
  assert.ok(scenarios.length > 5, text)
  assert.deepEqual(
    scenarios.filter((name) => !known.includes(`'${name}'`)),
    [],
  )
})
