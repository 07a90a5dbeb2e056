import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PullProgress } from '@coracle/image'
import { createProgress } from './progress.ts'

const never = new AbortController().signal
const at = (image: string): PullProgress => ({ image, layers: [] })

test('a watcher that comes early waits, hears of changes, and ends with the pull', async () => {
  const progress = createProgress()
  const heard: PullProgress[] = []
  const watching = (async () => {
    for await (const one of progress.watch('a', never)) heard.push(one)
  })()
  await sleep(10)
  const [first, last] = [at('a'), at('a')]
  progress.report('a', first)
  progress.report('b', at('b'))
  await sleep(300)
  progress.report('a', last)
  progress.done('a')
  progress.done('a')
  await watching
  assert.deepEqual(heard, [first, last])
})

test('a watcher that leaves, and one of nothing, end', async () => {
  const progress = createProgress()
  progress.report('a', at('a'))
  const caller = new AbortController()
  const heard: PullProgress[] = []
  setTimeout(() => caller.abort(), 20)
  for await (const one of progress.watch('a', caller.signal)) heard.push(one)
  for await (const one of progress.watch('never', caller.signal)) heard.push(one)
  assert.equal(heard.length, 1)
})
