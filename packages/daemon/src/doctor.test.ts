import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Finding } from '@coracle/host'
import { programFindings } from './doctor.ts'

test('programFindings() leaves out what is fine and what is no program', () => {
  const finding = (check: string, state: Finding['state']): Finding => ({ check, state, detail: '' })
  const findings = [
    finding('crun program', 'warning'),
    finding('runc program', 'ok'),
    finding('cgroups', 'warning'),
    finding('CNI plugins', 'missing'),
  ]
  assert.deepEqual(
    programFindings(findings).map(({ check }) => check),
    ['crun program', 'CNI plugins'],
  )
})
