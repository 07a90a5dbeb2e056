import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { memoryScreen } from '../print/screen.ts'
import { renderFindings } from './findings.ts'
import { checkNetworkConfiguration } from './surroundings.ts'

const base = mkdtempSync(join(tmpdir(), 'cli-doctor-'))
after(() => rmSync(base, { recursive: true }))

test('a line a finding, the remedy below what needs one', () => {
  const text = renderFindings(
    [
      { check: 'a', state: 'ok', detail: 'fine', remedy: 'unneeded' },
      { check: 'longer', state: 'missing', detail: 'gone', remedy: 'apt-get install it' },
    ],
    memoryScreen(),
  )
  assert.equal(
    text,
    'ok       a       fine\nmissing  longer  gone\n                 → apt-get install it\n\n1 ok, 0 warnings, 1 missing\n',
  )
})

test('the network configuration is the first by name', async () => {
  const directory = mkdtempSync(join(base, 'x'))
  assert.equal((await checkNetworkConfiguration(directory)).state, 'missing')
  for (const name of ['20-b.conf', '10-a.conflist', 'README']) writeFileSync(join(directory, name), '')
  assert.equal((await checkNetworkConfiguration(directory)).detail, `${directory}/10-a.conflist`)
})
