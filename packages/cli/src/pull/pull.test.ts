import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@coracle/cri-api/json'
import { LayerState, PullProgressSchema } from '@coracle/cri-api/progress'
import { memoryScreen } from '../print/screen.ts'
import { UsageError } from '../usage-error.ts'
import { renderBars } from './bars.ts'
import { authFrom } from './credentials.ts'
import { Speeds } from './speeds.ts'

const progress = (downloadedBytes: number) =>
  create(PullProgressSchema, {
    layers: [
      {
        digest: `sha256:${'a'.repeat(64)}`,
        state: LayerState.DOWNLOADING,
        downloadedBytes: BigInt(downloadedBytes),
        totalBytes: 1000n,
      },
      { digest: `sha256:${'b'.repeat(64)}`, state: LayerState.EXISTS, totalBytes: 1000n },
    ],
  })

test('a bar a layer, one for all, with speed and counts', () => {
  const speeds = new Speeds()
  speeds.note(progress(0), 0)
  speeds.note(progress(500), 1000)
  const lines = renderBars(progress(500), { speeds, screen: memoryScreen() })
  assert.equal(lines.length, 3)
  assert.match(lines[0] ?? '', /aaaaaaaaaaaa █+░+ 500B \/ 1kB +500B\/s$/)
  assert.match(lines[1] ?? '', /bbbbbbbbbbbb █+ 1kB \/ 1kB +already here$/)
  assert.match(lines[2] ?? '', /total +█+░+ 1\.5kB \/ 2kB +500B\/s 1\/2 layers$/)
  for (const text of lines) assert.ok(text.length <= 80, text)
})

test('speed is of the last seconds only', () => {
  const speeds = new Speeds()
  assert.equal(speeds.bytesPerSecond(), 0)
  speeds.note(progress(0), 0)
  speeds.note(progress(900), 10_000)
  speeds.note(progress(1000), 11_000)
  assert.equal(speeds.bytesPerSecond(), 100)
})

test('credentials in one form only', async () => {
  const none = { creds: undefined, auth: undefined, username: undefined }
  assert.equal(await authFrom(none), undefined)
  assert.deepEqual(await authFrom({ ...none, creds: 'u:p:q' }), { username: 'u', password: 'p:q' })
  assert.deepEqual(await authFrom({ ...none, auth: 'eA==' }), { auth: 'eA==' })
  await assert.rejects(authFrom({ ...none, creds: 'nocolon' }), UsageError)
  await assert.rejects(authFrom({ ...none, creds: 'a:b', auth: 'x' }), UsageError)
})
