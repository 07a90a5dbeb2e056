import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { codeOf } from '@coracle/base/errors'
import { copyImage, openDestination } from '@coracle/image/moving'
import { hostPlatform } from '@coracle/oci-spec/platform'
import { rootfsSource } from './import-rootfs.ts'

test('a root file system may come through a pipe, and not from a directory', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'coracle-import-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const options = (path: string) => ({ path, platform: hostPlatform(), config: {}, message: undefined })
  writeFileSync(join(directory, 'hello'), 'world')
  execFileSync('tar', ['-C', directory, '-cf', join(directory, 'x.tar'), 'hello'])
  execFileSync('mkfifo', [join(directory, 'fifo')])
  spawn('cp', [join(directory, 'x.tar'), join(directory, 'fifo')])
  await using source = await rootfsSource(options(join(directory, 'fifo')))
  await using destination = await openDestination({ kind: 'dir', path: join(directory, 'image') }, {})
  await copyImage({ source, destination }, AbortSignal.timeout(20_000))
  await assert.rejects(rootfsSource(options(directory)), (err) => codeOf(err) === 'invalid_argument')
})
