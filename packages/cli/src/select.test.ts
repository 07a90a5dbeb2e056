import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newest, requireOneWay } from './select.ts'
import { UsageError } from './usage-error.ts'

test('the newest, and all of them for 0', () => {
  const items = [1n, 3n, 2n].map((createdAt) => ({ createdAt }))
  const times = (count?: number) => newest(items, count).map(({ createdAt }) => createdAt)
  assert.deepEqual(times(), [3n, 2n, 1n])
  assert.deepEqual(times(2), [3n, 2n])
  assert.deepEqual(times(0), [3n, 2n, 1n])
})

test('targets are named or filtered for, not both', () => {
  const filters = {
    all: { kind: 'flag', help: '' },
    label: { kind: 'list', help: '' },
    name: { kind: 'string', help: '' },
  } as const
  const none = { all: false, label: [], name: undefined, quiet: true }
  requireOneWay(none, filters, ['web'])
  requireOneWay({ ...none, all: true }, filters, [])
  for (const given of [{ all: true }, { label: ['a=b'] }, { name: 'x' }])
    assert.throws(() => requireOneWay({ ...none, ...given }, filters, ['web']), UsageError)
})
