import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '@coracle/oci-spec/digest'
import { ImportStatus } from './import-status.ts'

const [a, b] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}` as Digest) as [Digest, Digest]

test('an import is waited for, comes, is unpacked, is recorded', () => {
  const description = { name: 'r/a:1', waiter: 'coracle load' }
  const status = new ImportStatus({
    ...description,
    blobs: [
      { digest: a, size: 100 },
      { digest: b, size: 50 },
    ],
  })
  const states = () => status.status().layers.map(({ state, downloadedBytes }) => `${state} ${downloadedBytes}`)
  assert.deepEqual(states(), ['waiting 0', 'waiting 0'])
  assert.deepEqual([status.status().image, status.status().waiters], ['r/a:1', ['coracle load']])
  status.present(b)
  status.came(a, 40)
  assert.deepEqual(states(), ['downloading 40', 'present 50'])
  assert.deepEqual([status.status().downloadedBytes, status.status().totalBytes], [40, 100])
  status.installed([{ digest: a, state: 'downloading', downloadedBytes: 10, totalBytes: 100 }])
  assert.deepEqual(states(), ['unpacking 100'])
  status.recording()
  assert.equal(status.status().phase, 'recording')
})
