import assert from 'node:assert/strict'
import { test } from 'node:test'
import { armFailpoints, failpoint } from './failpoint.ts'

test('each acts once, by name', async () => {
  await failpoint('a.b')
  armFailpoints('a.b=throw,c=delay:30')
  await failpoint('other')
  await assert.rejects(failpoint('a.b'), /failpoint a\.b/)
  await failpoint('a.b')
  const start = performance.now()
  await failpoint('c')
  assert.ok(performance.now() - start >= 25)
})

test('what cannot be understood is refused', () => {
  for (const spec of ['a', 'a=', 'a=explode', 'a=delay:x', 'A=kill', 'a=kill=throw']) {
    assert.throws(() => armFailpoints(spec), /must be NAME=kill, NAME=throw or NAME=delay:MS/)
  }
  armFailpoints('')
})
