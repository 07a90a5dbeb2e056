import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { codeOf, explain } from '@coracle/base/errors'
import { createProcesses } from '../processes.ts'
import { openAppArmor } from './apparmor.ts'

const root = mkdtempSync(join(tmpdir(), 'apparmor-'))
after(() => rmSync(root, { recursive: true, force: true }))
const processes = createProcesses()
const signal = AbortSignal.timeout(60_000)
const parameters = join(root, 'sys/module/apparmor/parameters')
const security = join(root, 'sys/kernel/security/apparmor')
mkdirSync(parameters, { recursive: true })

function program(name: string, script: string): string {
  const path = join(root, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

describe('openAppArmor()', () => {
  test('is undefined where the kernel has none or it is off', () => {
    assert.equal(openAppArmor(processes, { root: join(root, 'nothing') }), undefined)
    writeFileSync(join(parameters, 'enabled'), 'N\n')
    assert.equal(openAppArmor(processes, { root }), undefined)
  })

  test('lists what is loaded; says what to do when it cannot', () => {
    writeFileSync(join(parameters, 'enabled'), 'Y\n')
    assert.throws(
      () => openAppArmor(processes, { root })?.loaded(),
      (err) => codeOf(err) === 'failed_precondition' && explain(err).includes('securityfs'),
    )
    mkdirSync(security, { recursive: true })
    writeFileSync(join(security, 'profiles'), 'one (enforce)\n/usr/bin/a b (complain)\nodd line\n\n')
    assert.deepEqual([...(openAppArmor(processes, { root })?.loaded() ?? [])], ['one', '/usr/bin/a b'])
  })

  test('gives the policy to the compiler, and passes on its words', async () => {
    const parser = program(
      'parser',
      `echo "$@" > ${root}/arguments; sed -n 's/^profile \\([^ ]*\\).*/\\1 (enforce)/p' >> ${security}/profiles`,
    )
    const apparmor = openAppArmor(processes, { root, parser })
    await apparmor?.load('profile mine flags=(x) {\n}\n', signal)
    assert.equal(readFileSync(join(root, 'arguments'), 'utf8'), '--replace --skip-cache\n')
    assert.ok(apparmor?.loaded().has('mine'))
    const failing = openAppArmor(processes, { root, parser: program('bad', 'echo line >&2; echo syntax error >&2; exit 1') })
    await assert.rejects(
      async () => failing?.load('x', signal),
      (err) => codeOf(err) === 'failed_precondition' && explain(err).endsWith('exit code 1: syntax error'),
    )
  })
})
