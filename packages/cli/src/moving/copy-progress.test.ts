import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@coracle/cri-api/json'
import { LayerState, PullProgressSchema } from '@coracle/cri-api/progress'
import type { Digest } from '@coracle/oci-spec/digest'
import { memoryScreen } from '../print/screen.ts'
import { CopiedBlobs, withProgress } from './copy-progress.ts'

const blob = (digit: string, size: number) => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  digest: `sha256:${digit.repeat(64)}` as Digest,
  size,
})

test('blobs of a copy are layers of a pull, until somebody else tells of them', () => {
  const copied = new CopiedBlobs()
  const { onBlobs, onBytes, onBlob } = copied.hooks
  onBlobs?.([blob('a', 100), blob('b', 50)])
  onBytes?.(blob('a', 100), 40)
  onBlob?.(blob('b', 50), 'already there')
  const states = () => copied.progress().layers.map(({ state, downloadedBytes }) => [state, Number(downloadedBytes)])
  assert.deepEqual(states(), [
    [LayerState.DOWNLOADING, 40],
    [LayerState.EXISTS, 50],
  ])
  onBlob?.(blob('a', 100), 'copied')
  assert.deepEqual(states()[0], [LayerState.DONE, 100])
  copied.follow(create(PullProgressSchema, { layers: [{ state: LayerState.UNPACKING, totalBytes: 100n }] }))
  assert.deepEqual(states(), [[LayerState.UNPACKING, 0]])
})

test('where there is no terminal: a line for each blob where wanted, notes at once', async () => {
  const err = memoryScreen()
  const title = { title: 'copying', quiet: false }
  const work = async ({ hooks, note }: Parameters<Parameters<typeof withProgress>[2]>[0]) => {
    hooks.onBlob?.(blob('a', 100), 'copied')
    note('changed')
    return 7
  }
  assert.equal(await withProgress({ err }, { ...title, lines: true }, work), 7)
  assert.equal(await withProgress({ err }, { ...title, lines: false }, work), 7)
  assert.equal(err.text(), 'blob aaaaaaaaaaaa copied, 100B\nchanged\nchanged\n')
})

test('on a terminal bars are painted, which are gone at the end, and notes stay', async () => {
  const screen = memoryScreen()
  await withProgress(
    { err: { ...screen, isTerminal: true } },
    { title: 'copying x', quiet: false, lines: true },
    async (view) => {
      view.hooks.onBlobs?.([blob('a', 100)])
      view.hooks.onBytes?.(blob('a', 100), 50)
      view.doing('reading')
      view.note('changed')
      // As long as it takes until all that is seen.
      while (!/copying x: reading.*aaaaaaaaaaaa █+░+ 50B \/ 100B.*total/s.test(screen.text())) await sleep(5)
    },
  )
  const text = screen.text()
  assert.equal(text.slice(text.lastIndexOf('\u001b[J') + 3), 'changed\n')
})
