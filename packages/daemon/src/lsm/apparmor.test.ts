import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { precondition } from '@coracle/base/errors'
import { configureLog } from '@coracle/base/log'
import { apparmorFinding, useAppArmor } from './apparmor.ts'

const root = mkdtempSync(join(tmpdir(), 'apparmor-'))
after(() => rmSync(root, { recursive: true, force: true }))
configureLog({ write: () => {} })
const { signal } = new AbortController()

describe('AppArmor at the start', () => {
  test('the profile is loaded; the list is read anew each time', async () => {
    const loaded = new Set<string>()
    const used = await useAppArmor(
      {
        loaded: () => loaded,
        load: async (policy) => {
          loaded.add(/^profile (\S+)/.exec(policy)?.[1] ?? '')
        },
      },
      signal,
    )
    assert.equal(used?.defaultProfile, 'coracle-default')
    assert.ok(used?.loaded().has('coracle-default'))
    loaded.add('later')
    assert.ok(used?.loaded().has('later'))
  })

  test('a failure to load it ends nothing, and is not taken for success', async () => {
    const used = await useAppArmor({ loaded: () => new Set(), load: () => Promise.reject(precondition('no')) }, signal)
    assert.equal(used?.loaded().size, 0)
    assert.equal(await useAppArmor(undefined, signal), undefined)
  })

  test('doctor tells a kernel with AppArmor and a node without its compiler', () => {
    const on = { apparmor: { enabled: true, parser: undefined } }
    assert.match(apparmorFinding(on, root).detail, /not in this kernel/)
    mkdirSync(join(root, 'sys/module/apparmor/parameters'), { recursive: true })
    writeFileSync(join(root, 'sys/module/apparmor/parameters/enabled'), 'Y\n')
    assert.match(apparmorFinding({ apparmor: { enabled: false, parser: undefined } }, root).detail, /off/)
    assert.equal(apparmorFinding({ apparmor: { enabled: true, parser: '/x' } }, root).state, 'ok')
  })
})
